"""Runs, devices, commits and durations in words."""

from collections.abc import Mapping, Sequence

from reformer.model.attention_kinds import KINDS
from reformer.report.evidence.results import NotTested, RunGroup

MISSING = "–"
"""Stands for a number that does not exist."""
MB = 1e6
SETTINGS = {"model.n_layers": "{} layers"}
"""Formats of settings that are not written as name and value."""


FURTHER = {"unmasked": "full, self allowed", "off": "LSH off"}
"""Attentions of an evaluation that the paper does not have, and their labels."""


def attention_label(attention: str) -> str:
    """The attention as the paper writes it: LSH-4, full."""
    words = (word.upper() if word in KINDS and KINDS[word].hashes else word for word in attention.split("-"))
    return FURTHER.get(attention, "-".join(words))


def describe(group: RunGroup) -> str:
    """The runs in words, without their data set."""
    words = [*_words(group, [setting for setting, _ in group.spec.others])]
    return ", ".join(word for word in words if word != "shared QK")


def differing_settings(groups: Sequence[RunGroup]) -> list[str]:
    """The settings, beside attention, residuals and queries, in which runs differ."""
    named = dict.fromkeys(setting for group in groups for setting, _ in group.spec.others)
    return [setting for setting in named if len({group.spec.value(setting) for group in groups}) > 1]


def distinct_labels(groups: Sequence[RunGroup], separator: str = ", ") -> list[str]:
    """Labels that contain only the words in which the runs differ."""
    columns = zip(*(_words(group, differing_settings(groups)) for group in groups), strict=True)
    differing = [column for column in columns if len(set(column)) > 1]
    if not differing:
        return [describe(group) for group in groups]
    return [separator.join(words) for words in zip(*differing, strict=True)]


def _words(group: RunGroup, settings: Sequence[str]) -> list[str]:
    return [
        attention_label(group.spec.attention),
        "reversible" if group.spec.reversible else "ordinary",
        "shared QK" if group.spec.shared_qk else "separate QK",
        *(
            SETTINGS.get(setting, f"{setting.split('.')[-1]} {{}}").format(_value(group, setting))
            for setting in settings
        ),
    ]


def _value(group: RunGroup, setting: str) -> str:
    try:
        return group.value(setting)
    except NotTested:
        return "as usual"


def short_commit(commit: str) -> str:
    """The first ten digits, and `+changes` if the working tree had any."""
    digits, plus, changes = commit.partition("+")
    return digits[:10] + plus + changes


def device(environment: Mapping[str, object]) -> str:
    """The device, and the number of its threads if it is known."""
    threads = environment.get("threads")
    count = f", {threads} thread{'s' * (threads != 1)}" if threads else ""
    return f"{environment['device']}{count}"


def duration(seconds: float) -> str:
    """Seconds in hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
