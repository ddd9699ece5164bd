"""The short name of an attention: `full`, `lsh-4`, `local-local-lsh-2`. Free of torch."""

import re
from collections.abc import Sequence

from reformer.model.config import ATTENTION_KINDS
from reformer.settings import require

PART = re.compile(rf"lsh-([1-9]\d*)|({'|'.join(kind for kind in ATTENTION_KINDS if kind != 'lsh')})")


def attention_name(attention: Sequence[str], n_hashes: int) -> str:
    """Names the kinds of attention of the layers, in their order; each `lsh` with its number of hash rounds."""
    return "-".join(f"lsh-{n_hashes}" if kind == "lsh" else kind for kind in attention)


def parse_attention(name: str, setting: str = "attention") -> tuple[list[str], int]:
    """The inverse of `attention_name`.

    Args:
        name: such as `lsh-4`.
        setting: what to call it where it is refused.

    Returns:
        The kinds of attention, and the number of hash rounds, 0 where no layer has any.

    Raises:
        SettingError: no attention has this name.
    """
    kinds: list[str] = []
    rounds: set[int] = set()
    rest = f"{name}-"
    while (part := PART.match(rest)) and rest[part.end()] == "-":
        kinds.append(part[2] or "lsh")
        rounds |= {int(part[1])} if part[1] else set()
        rest = rest[part.end() + 1 :]
        if not rest:
            break
    whole = not rest and len(rounds) <= 1
    require(whole, setting, "full, local, off, lsh-N (N hash rounds) or a mix joined by hyphens", name)
    return kinds, max(rounds, default=0)
