"""Where numbers come from: the commits, devices and times of the runs and benchmarks behind them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reformer.report import tables
from reformer.report.results import NotTested, Results, Run


@dataclass(frozen=True)
class Source:
    """Where some numbers come from."""

    command: str
    """That of the first run."""
    commit: str
    device: str
    time: str
    n_runs: int


def source_of(environments: Iterable[Mapping[str, Any]]) -> Source | None:
    """The source of what was measured in these environments; None where there are none."""
    listed = list(environments)
    if not listed:
        return None
    return Source(
        command=listed[0]["command"],
        commit=", ".join(dict.fromkeys(tables.short_commit(environment["commit"]) for environment in listed)),
        device=", ".join(dict.fromkeys(tables.device(environment) for environment in listed)),
        time=tables.duration(sum(environment["seconds"] for environment in listed)),
        n_runs=len(listed),
    )


def environments_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The environments of the runs that have one."""
    found = []
    for run in runs:
        try:
            found.append(run.environment)
        except NotTested:
            continue
    return found


def source_of_all(results: Results, benchmarks: Iterable[str]) -> Source | None:
    """The source of everything: of all runs and of these benchmarks."""
    environments = environments_of(run for group in results.groups for run in group.runs.values())
    for name in benchmarks:
        try:
            environments.append(results.benchmark(name)["environment"])
        except NotTested:
            continue
    return source_of(environments)
