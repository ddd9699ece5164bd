"""Reads what the pipeline measured: the folders of the runs and the files of the benchmarks, all tracked by DVC.

Nothing here fails on a missing file: whoever asks for a number that is not there gets a `NotTested` that says why.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from reformer.training.run_name import RunSpec

TEXTS = ("enwik8", "wikipedia")
IMAGES = ("imagenet64_small", "imagenet64", "photos")


class NotTested(Exception):
    """A number that was not measured. The message says why, in words for the report."""


class LearnedNothing(NotTested):
    """A network that would be compared is no better than guessing: that seed must not be left out of the comparison."""


@dataclass(frozen=True)
class Run:
    """One training run: a folder `runs/<name>_seed-<seed>`, whose files are read when first asked for."""

    name: str
    spec: RunSpec
    seed: int
    folder: Path

    @cached_property
    def train(self) -> dict[str, Any]:
        """Size, steps and held-out score of the training."""
        return read_json(self.folder / "train.json")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Command, commit, device and time of the training."""
        return read_json(self.folder / "environment.json")

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """Scores of the trained weights by the attention they were evaluated with."""
        return read_json(self.folder / "evaluation.json")

    def score(self, attention: str, metric: str = "bits_per_dim") -> float:
        """The metric of the trained weights with this attention; `trained` is the attention of the training."""
        results = self.evaluation["results"]
        key = self.spec.attention if attention == "trained" and attention not in results else attention
        if key not in results:
            raise NotTested(f"{self.folder.name} was not evaluated with {key}")
        return float(results[key][metric])

    def curve(self, split: str, metric: str) -> dict[int, float]:
        """The metric by step."""
        path = self.folder / "curve.csv"
        if not path.is_file():
            raise NotTested(f"{_place(path)} is missing")
        with path.open(newline="") as file:
            return {int(row["step"]): float(row[metric]) for row in csv.DictReader(file) if row["split"] == split}


@dataclass(frozen=True)
class RunGroup:
    """The runs that differ in their seed only."""

    name: str
    spec: RunSpec
    runs: dict[int, Run]

    @property
    def present(self) -> list[Run]:
        """The runs whose training is on disk."""
        return [run for run in self.runs.values() if (run.folder / "train.json").is_file()]

    def first(self) -> Run:
        """The first run on disk."""
        for run in self.present:
            return run
        raise NotTested(f"no run of {self.name} is on disk")


@dataclass
class Results:
    """Everything that was measured under one root folder.

    Attributes:
        root: folder with `runs/` and `benchmarks/`.
        profile: name of the profile that was run.
        runs: seeds of each run, by its name without a seed.
    """

    root: Path
    profile: str
    runs: Mapping[str, Sequence[int]]
    groups: list[RunGroup] = field(init=False)

    def __post_init__(self) -> None:
        self.groups = [self._group(name, seeds) for name, seeds in self.runs.items()]

    def _group(self, name: str, seeds: Sequence[int]) -> RunGroup:
        spec = RunSpec.parse(name)
        folder = self.root / "runs"
        return RunGroup(name, spec, {seed: Run(name, spec, seed, folder / f"{name}_seed-{seed}") for seed in seeds})

    def data(self, names: Iterable[str]) -> str:
        """The first of the data sets that the profile trains on, or the last one where it has none of them."""
        names = list(names)
        return next((name for name in names if any(group.spec.data == name for group in self.groups)), names[-1])

    def select(self, data: str, **wanted: object) -> list[RunGroup]:
        """All groups on a data set that have the attributes; those not given are as usual, reversible or not."""
        usual = {item.name: item.default for item in fields(RunSpec) if item.name in ("shared_qk", "n_layers", "other")}
        wanted = {**usual, **wanted, "data": data}
        return [g for g in self.groups if all(getattr(g.spec, key) == value for key, value in wanted.items())]

    def find(self, data: str, **wanted: object) -> RunGroup:
        """The first such group; raises NotTested."""
        for group in self.select(data, **wanted):
            return group
        what = ", ".join(str(value) if isinstance(value, str) else f"{key} {value}" for key, value in wanted.items())
        raise NotTested(f"no run on {data} with {what} in profile {self.profile}")

    def twins(self, data: str, attribute: str) -> tuple[RunGroup, RunGroup]:
        """Two groups that differ only in a true-or-false attribute: the one that has it, then the other."""
        by_spec = {group.spec: group for group in self.groups}
        for group in self.groups:
            twin = replace(group.spec, **{attribute: False})  # type: ignore[arg-type]
            if group.spec.data == data and getattr(group.spec, attribute) and twin in by_spec:
                return group, by_spec[twin]
        raise NotTested(f"no such pair of runs on {data} in profile {self.profile}")

    def benchmark(self, name: str) -> dict[str, Any]:
        """The benchmark's environment and its measured points; those that were skipped are left out."""
        content = read_json(self.root / "benchmarks" / f"{name}.json")
        points = [point for point in content["points"] if "skipped" not in point]
        if not points:
            raise NotTested(f"every point of benchmarks/{name}.json was skipped")
        return {**content, "points": points}


def read_json(path: Path) -> dict[str, Any]:
    """The file's content; raises NotTested for one that is missing or cut off."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise NotTested(f"{_place(path)} is missing") from None
    except json.JSONDecodeError:
        raise NotTested(f"{_place(path)} is not readable") from None


def _place(path: Path) -> str:
    return "/".join(path.parts[-3:] if path.parent.parent.name == "runs" else path.parts[-2:])
