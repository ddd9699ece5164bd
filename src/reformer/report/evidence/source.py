"""The commits, devices and times behind a set of numbers."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from reformer.report.evidence.labels import device, duration, short_commit
from reformer.report.evidence.results import NotTested, Results, Run


@dataclass(frozen=True)
class Source:
    """The origin of some numbers. The command is that of the first run; commits, devices and times are those of all."""

    command: str
    commit: str
    device: str
    time: str
    n_runs: int


def source_of(environments: Iterable[Mapping[str, Any]]) -> Source | None:
    """The source of measurements in these environments; None without environments."""
    listed = list(environments)
    if not listed:
        return None
    return Source(
        command=listed[0]["command"],
        commit=", ".join(dict.fromkeys(short_commit(environment["commit"]) for environment in listed)),
        device=", ".join(dict.fromkeys(device(environment) for environment in listed)),
        time=duration(sum(environment["seconds"] for environment in listed)),
        n_runs=len(listed),
    )


def environments_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The environments of the runs that have one."""
    found = []
    for run in runs:
        with suppress(NotTested):
            found.append(run.environment)
    return found


def source_of_all(results: Results, benchmarks: Iterable[str]) -> Source | None:
    """The source of all runs and of these benchmarks."""
    environments = environments_of(run for group in results.groups for run in group.runs.values())
    for name in benchmarks:
        with suppress(NotTested):
            environments.append(results.benchmark(name)["environment"])
    return source_of(environments)
