"""The results that the pipeline wrote. A missing file does not stop the report: each missing number raises NotTested."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, log
from pathlib import Path
from statistics import median
from typing import Any, Concatenate, ParamSpec

import numpy as np

from reformer.bench.config import BenchmarkConfig
from reformer.files import DataError, MissingFile, Root, RunFiles, read_json
from reformer.runs.listed import ListedRuns, NotListed
from reformer.runs.name import RunSpec

P = ParamSpec("P")


class NotTested(Exception):
    """A number was not measured. The message says why, in words for the report."""


class NotLearned(NotTested):
    """A network is not clearly better than a simple model of its data. A comparison must not leave out its seed."""


@dataclass(frozen=True)
class Run:
    """One training run. Reads each file on first use.

    Attributes:
        spec: the content of its name.
        kind: the kind of data that it was trained on.
        seed: its seed.
        files: its files.
        weights: weight of each document, image or word in the scores, (n,); None weighs all alike.
    """

    spec: RunSpec
    kind: str
    seed: int
    files: RunFiles
    weights: np.ndarray | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The name with the seed."""
        return self.files.folder.name

    @cached_property
    def train(self) -> dict[str, Any]:
        """Settings, size, number of steps and validation scores."""
        return read(self.files.train)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Command, commit, device and time of the training."""
        return read(self.files.environment)

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """Scores of the trained weights by the attention of the evaluation."""
        return read(self.files.evaluation)

    @cached_property
    def unit_tokens(self) -> np.ndarray:
        """Scored tokens of each evaluated document, image or word, (n,)."""
        return np.array(self.evaluation.get("unit_tokens", ()))

    def resampled(self, weights: np.ndarray | None) -> "Run":
        """The same run with other weights of its documents, images or words."""
        run = replace(self, weights=weights)
        run.__dict__.update(
            {name: self.__dict__[name] for name in ("evaluation", "unit_tokens") if name in self.__dict__}
        )
        return run

    def score(self, attention: str, metric: str = "bits_per_dim") -> float:
        """A score of the trained weights with this attention; `trained` is the attention of the training."""
        results = self.evaluation["results"]
        key = self.spec.attention if attention == "trained" and attention not in results else attention
        if key not in results:
            raise NotTested(f"{self.name} was not evaluated with {key}")
        if self.weights is None:
            return float(results[key][metric])
        nll, correct = self.weights @ np.array(results[key]["units"])
        n_tokens = self.weights @ self.unit_tokens
        return float(correct / n_tokens if metric == "accuracy" else nll / n_tokens / log(2))

    def validation(self, metric: str) -> dict[int, float]:
        """A validation score by step."""
        try:
            with self.files.curve.open(newline="", encoding="utf-8") as file:
                return {int(row["step"]): float(row[metric]) for row in csv.DictReader(file) if row["split"] == "val"}
        except FileNotFoundError:
            raise NotTested(f"{_place(self.files.curve)} is missing") from None

    def last_fifth(self, metric: str = "bits_per_dim") -> float:
        """The change of a validation score in the last fifth of the training."""
        curve = self.validation(metric)
        last = max(curve)
        before = [step for step in curve if step <= 0.8 * last]
        if not before:
            raise NotTested(f"{self.name} has no validation before the last fifth of its training")
        return curve[last] - curve[max(before)]


@dataclass(frozen=True)
class RunGroup:
    """The runs that differ only in their seed.

    Attributes:
        name: their name without a seed.
        spec: the content of the name.
        kind: the kind of data that they were trained on.
        runs: the runs by seed.
    """

    name: str
    spec: RunSpec
    kind: str
    runs: dict[int, Run]

    @property
    def trained(self) -> list[Run]:
        """The runs that have been trained."""
        return [run for run in self.runs.values() if run.files.train.is_file()]

    def first(self) -> Run:
        """The first trained run."""
        for run in self.trained:
            return run
        raise NotTested(f"no run of {self.name} has been trained")

    def seconds_per_step(self) -> float:
        """Median over the seeds of the seconds of a training step; raises NotTested."""
        found = [run.environment["seconds"] / run.train["steps"] for run in self.trained]
        if not found:
            raise NotTested(f"no run of {self.name} has been trained")
        return median(found)

    def value(self, setting: str) -> str:
        """The value of a setting such as `model.n_layers`: from the name or, for a usual value, from train.json."""
        if (named := self.spec.value(setting)) is not None:
            return named
        train = self.first().train
        section, _, key = setting.partition(".")
        value = train.get("settings", {}).get(section, {}).get(key, train.get(key))  # old files have no settings
        if value is None:
            raise NotTested(f"{_place(self.first().files.train)} does not contain {setting}")
        return str(value).lower()


@dataclass(frozen=True)
class Results:
    """All results in one folder.

    Attributes:
        root: the folder.
        profile: name of the profile that was run.
        listed: the runs of params.yaml.
        million: the benchmark of a million tokens, which no stage measures.
    """

    root: Root
    profile: str
    listed: ListedRuns
    million: BenchmarkConfig | None = None

    @cached_property
    def groups(self) -> list[RunGroup]:
        """All listed runs; raises a SettingError for a name that is not one of a run."""
        return [self._group(name) for name in self.listed.seeds]

    def _group(self, name: str) -> RunGroup:
        spec, kind = self.listed.specs[name], self.listed.kind(name)
        part = self.listed.parts.get(name, "")
        runs = {
            seed: Run(spec, kind, seed, self.root.run(f"{name}_seed-{seed}", part)) for seed in self.listed.seeds[name]
        }
        return RunGroup(name, spec, kind, runs)

    def select(
        self, pick: Callable[Concatenate[ListedRuns, P], Sequence[str]], *args: P.args, **options: P.kwargs
    ) -> list[RunGroup]:
        """The runs that a method of ListedRuns picks, in its order; raises NotTested where none fit."""
        try:
            names = pick(self.listed, *args, **options)
        except NotListed as missing:
            raise NotTested(str(missing)) from None
        by_name = {group.name: group for group in self.groups}
        return [by_name[name] for name in ([names] if isinstance(names, str) else names)]

    def along(self, kind: str, setting: str) -> list[RunGroup]:
        """The runs that differ in one setting alone, by its value."""
        return by_value(self.select(ListedRuns.along, kind, setting), setting)

    def simple(self, kind: str, split: str = "test") -> dict[str, float]:
        """Bits/dim of the simple models of the data of a kind, by their names, the first one first."""
        scores: dict[str, float] = read(self.root.simple(self.listed.data[kind]))[split]
        return scores

    def benchmark(self, name: str) -> dict[str, Any]:
        """The environment and the measured points of a benchmark, without the points that were skipped."""
        content = read(self.root.benchmark(name))
        points = [point for point in content["points"] if "skipped" not in point]
        if not points:
            raise NotTested(f"the benchmark {name} skipped every point")
        return {**content, "points": points}


def by_value(groups: Sequence[RunGroup], setting: str) -> list[RunGroup]:
    """Sorts runs by the value of a setting: numbers first."""

    def key(group: RunGroup) -> tuple[float, str]:
        value = group.value(setting)
        try:
            return float(value), ""
        except ValueError:
            return inf, value

    return sorted(groups, key=key)


def read(path: Path) -> dict[str, Any]:
    """The content of a JSON file; raises NotTested."""
    try:
        return read_json(path)
    except MissingFile:
        raise NotTested(f"{_place(path)} is missing") from None
    except DataError:
        raise NotTested(f"{_place(path)} is damaged") from None


def _place(path: Path) -> str:
    return "/".join(path.parts[-2:])
