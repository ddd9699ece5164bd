"""Comparison of the verdicts of two reports."""

from collections.abc import Iterator, Mapping
from typing import Any

Content = Mapping[str, Any]
"""A claims.json."""


def differences(ours: Content, theirs: Content) -> Iterator[str]:
    """Yields a line for each claim whose verdict differs, with both numbers and what differs between the runs.

    Args:
        ours: the report that was just built.
        theirs: the report that it is compared with.
    """
    others = {claim["id"]: claim for claim in theirs["claims"]}
    for claim in ours["claims"]:
        other = others.pop(claim["id"], None)
        if other is None:
            yield f"{claim['id']}: {claim['verdict']}; the other report has no such claim"
        elif claim["verdict"] != other["verdict"]:
            yield f"{claim['id']}: {_in_words(other)} -> {_in_words(claim)}{_why(claim, other)}"
    for other in others.values():
        yield f"{other['id']}: the other report has it ({other['verdict']}), this one has no such claim"


def _in_words(claim: Content) -> str:
    low, high = claim.get("interval") or (None, None)
    interval = f", interval {low:.4g} to {high:.4g}" if None not in (low, high) else ""
    return f"{claim['verdict']} ({claim['measured']}{interval})"


def _why(claim: Content, other: Content) -> str:
    reasons = [
        f"{name} {other.get(key)} -> {claim.get(key)}"
        for key, name in (("allowed", "limit"), ("basis", "evidence"), ("reason", "reason"))
        if claim.get(key) != other.get(key)
    ]
    return f"; {'; '.join(reasons)}" if reasons else "; the same evidence with other values"
