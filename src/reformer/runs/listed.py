"""The runs that params.yaml lists, and methods by which a study selects the runs that it compares."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
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
        parts: the list of each run, by its name without a seed.
    """

    data: Mapping[str, str]
    seeds: Mapping[str, Sequence[int]]
    parts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Mapping[str, Sequence[str]], seeds: Mapping[str, Sequence[int]], **data: str) -> "ListedRuns":
        """Reads the lists of params.yaml.

        Args:
            runs: names without data set and seed, by list. The first word of a list's name is its kind of data: `text_depth`.
            seeds: by list.
            data: the data sets of text and of images.
        """
        data = {kind: data.get(kind, kind) for kind in DATA_KINDS}
        parts = {f"{data[kind_of(part)]}_{name}": part for part, names in runs.items() for name in names}
        return cls(data, {name: list(seeds.get(part, ())) for name, part in parts.items()}, parts)

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

    def against_transformer(self, kind: str) -> tuple[str, str]:
        """Finds a Reformer and the Transformer: hashing, shared queries and keys, reversible; and none of these.

        Of several Reformers, it takes the one with four rounds, the paper's usual number.
        """
        transformer = RunSpec(self.data[kind], "full", reversible=False, shared_qk=False)
        hashing, tuned = self.hashing(), self._tuned()
        transformers = [name for name, spec in tuned.items() if spec == transformer]
        reformers = [name for name in hashing if tuned[name] == RunSpec(self.data[kind], tuned[name].attention)]
        if len(reformers) > 1:
            reformers = [name for name in reformers if tuned[name].n_hashes == 4] or reformers
        pairs = [(reformer, other) for reformer in reformers for other in transformers]
        if not pairs:
            raise NotListed(f"no Reformer and Transformer (full_ordinary_separate-qk) on {self.data[kind]} are listed")
        return _only(pairs, "compare a Reformer with the Transformer")

    def _tuned(self) -> dict[str, RunSpec]:
        """The runs without their learning rates: each side of a comparison has the one that a sweep chose for it."""
        return {name: spec.without("optimizer.lr") for name, spec in self.specs.items()}

    def against_transformers(self, kinds: Sequence[str]) -> list[str]:
        """Finds the pairs of `against_transformer` of those kinds of data that have one."""
        found: list[str] = []
        for kind in kinds:
            with suppress(NotListed):
                found += self.against_transformer(kind)
        if not found:
            raise NotListed("no Reformer and Transformer (full_ordinary_separate-qk) are listed on the same data")
        return found

    def twins(self, kind: str, attribute: str) -> tuple[str, str]:
        """Finds two runs that differ only in one boolean attribute of RunSpec. The first run has it, and shared queries.

        Of several pairs, it takes the one whose first run is reversible.
        """
        assert attribute in {item.name for item in fields(RunSpec)}
        pairs = []
        for name, spec in self._tuned().items():
            if spec.data != self.data[kind] or not (spec.shared_qk and getattr(spec, attribute)):
                continue
            without: Any = replace(spec, **{attribute: False})  # type: ignore[arg-type]
            pairs += [(name, other) for other, spec_of_other in self._tuned().items() if spec_of_other == without]
        if not pairs:
            raise NotListed(f"no two runs on {self.data[kind]} that differ in {attribute} alone are listed")
        if len(pairs) > 1:
            pairs = [pair for pair in pairs if self.specs[pair[0]].reversible] or pairs
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
