"""The runs that params.yaml lists, and methods by which a study selects the runs that it compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

from reformer.data.config import DATA_KINDS
from reformer.model.attention_kinds import hashes, parse_attention
from reformer.runs.name import RunSpec
from reformer.settings import SettingError

Names = TypeVar("Names", bound=Sequence[str])


class NotListed(Exception):
    """No listed run fits. The message names the missing run, and the report prints it."""


@dataclass(frozen=True)
class ListedRuns:
    """All listed runs. A method raises a SettingError if several selections are possible.

    Attributes:
        data: the data set of each kind, by the kind's name.
        seeds: the seeds of each run, by its name without a seed.
    """

    data: Mapping[str, str]
    seeds: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, runs: Mapping[str, Sequence[str]], seeds: Mapping[str, Sequence[int]], **data: str) -> "ListedRuns":
        """Reads the lists of params.yaml.

        Args:
            runs: names without data set and seed, by list. The first word of a list's name is its kind of data: `text_depth`.
            seeds: by list.
            data: the data sets of text and of images.
        """
        data = {kind: data.get(kind, kind) for kind in DATA_KINDS}
        found = {
            f"{data[kind_of(part)]}_{name}": list(seeds.get(part, ())) for part, names in runs.items() for name in names
        }
        return cls(data, found)

    @cached_property
    def specs(self) -> dict[str, RunSpec]:
        """The parsed names."""
        return {name: RunSpec.parse(name) for name in self.seeds}

    def kind(self, name: str) -> str:
        """Returns the kind of data that a run is trained on."""
        return next(kind for kind, data in self.data.items() if data == self.specs[name].data)

    def find(self, kind: str, attention: str) -> str:
        """Finds the reversible run with shared queries and keys, and with usual settings otherwise."""
        wanted = RunSpec(self.data[kind], attention)
        for name, spec in self.specs.items():
            if spec == wanted:
                return name
        raise NotListed(f"no run {attention}_reversible on {self.data[kind]} is listed")

    def by_rounds(self, kind: str) -> list[str]:
        """Finds the reversible LSH runs with usual settings otherwise, in the order of their hash rounds."""
        usual = [spec.n_hashes for spec in self.specs.values() if spec == RunSpec(self.data[kind], spec.attention)]
        found = [self.find(kind, f"lsh-{n}") for n in sorted(set(usual)) if n]
        if not found:
            raise NotListed(f"no LSH run on {self.data[kind]} is listed")
        return found

    def with_full_and_rounds(self, kind: str) -> list[str]:
        """Finds the run with full attention, if it is listed, then the LSH runs of `by_rounds`."""
        names = self.by_rounds(kind)
        try:
            return [self.find(kind, "full"), *names]
        except NotListed:
            return names

    def all_of(self, kind: str) -> list[str]:
        """Finds the reversible runs with any attention and usual settings otherwise, in the order of the list."""
        return [name for name, spec in self.specs.items() if spec == RunSpec(self.data[kind], spec.attention)]

    def twins(self, kind: str, attribute: str) -> tuple[str, str]:
        """Finds two runs that differ only in one boolean attribute of RunSpec. The first run has it."""
        assert attribute in {item.name for item in fields(RunSpec)}
        names = {spec: name for name, spec in self.specs.items()}
        pairs = []
        for spec, name in names.items():
            other: Any = replace(spec, **{attribute: False})  # type: ignore[arg-type]
            if spec.data == self.data[kind] and getattr(spec, attribute) and other in names:
                pairs.append((name, names[other]))
        if not pairs:
            raise NotListed(f"no two runs on {self.data[kind]} that differ in {attribute} alone are listed")
        return _only(pairs, f"differ in {attribute} alone")

    def along(self, kind: str, setting: str) -> list[str]:
        """Finds the runs that differ only in one setting, such as `model.n_layers`: the usual one, then by value."""
        specs = {name: spec for name, spec in self.specs.items() if spec.data == self.data[kind]}
        families = list(dict.fromkeys(spec.without(setting) for spec in specs.values() if spec.value(setting)))
        found = [[name for name, spec in specs.items() if spec.without(setting) == family] for family in families]
        found = [names for names in found if len(names) > 1]
        if not found:
            raise NotListed(f"no two runs on {self.data[kind]} that differ in {setting} alone are listed")
        return sorted(_only(found, f"differ in {setting} alone"), key=lambda name: _number(specs[name].value(setting)))

    def hashing(self) -> list[str]:
        """Finds all runs with LSH layers."""
        return [name for name, spec in self.specs.items() if hashes(parse_attention(spec.attention)[0])]


def kind_of(part: str) -> str:
    """Returns the kind of data of a list in params.yaml, the first word of its name; raises SettingError."""
    kind = part.partition("_")[0]
    if kind not in DATA_KINDS:
        raise SettingError(f"runs.{part} must be named after its kind of data, {', '.join(DATA_KINDS)}, as text_depth")
    return kind


def _only(found: Sequence[Names], what: str) -> Names:
    if len(found) > 1:
        groups = " and ".join(f"({', '.join(names)})" for names in found)
        raise SettingError(f"runs: {groups} both {what}: leave only one, since a study compares one")
    return found[0]


def _number(value: str | None) -> tuple[bool, float, str]:
    """Key that sorts the usual value, which a name omits, before numbers, and numbers before words."""
    if value is None:
        return False, float("-inf"), ""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value
