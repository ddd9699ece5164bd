"""The private interfaces of other packages that the scripts use, each with the version in which it was last seen to work."""

import sys
from collections.abc import Callable
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl  # hydra-core 1.3.8
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # hydra-core 1.3.8
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

_load_configuration = ConfigLoaderImpl.load_configuration


def check_each_composition(check: Callable[[DictConfig], None]) -> None:
    """Calls a function with each configuration that Hydra composes, before Hydra creates anything that it names.

    hydra-core 1.3.8: its callbacks begin too late, because the configuration names them. Search paths (`pkg://`) import modules
    during the composition, so they are not read.
    """

    def load(self: ConfigLoaderImpl, *arguments: Any, **options: Any) -> DictConfig:
        config = _load_configuration(self, *arguments, **options)
        check(config)
        return config

    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]
    ConfigLoaderImpl._process_config_searchpath = lambda *_: None  # type: ignore[method-assign]


def jobs_of_sweep(hydra: DictConfig) -> list[list[str]]:
    """Returns the overrides of each job of a sweep over listed values; empty for a search, which chooses one job after another.

    hydra-core 1.3.8: BasicSweeper.split_arguments has no public counterpart.
    """
    if not hydra.sweeper._target_.endswith(BasicSweeper.__name__):
        return []
    given = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()] + list(hydra.overrides.task)
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(given), None)
    return jobs


def launcher(hydra: DictConfig) -> str:
    """Returns the name of the class that starts the jobs. It contains `joblib` or `submitit` for those plugins.

    hydra-core 1.3.8: `_target_` is all that Hydra keeps of the choice.
    """
    name: str = hydra.launcher._target_
    return name


def unfinished_slurm_jobs() -> bool:
    """Returns whether Slurm jobs of this process are unfinished; False if it submitted none.

    submitit 1.5.4: only `_registered` of its watcher lists the jobs of an array.
    """
    submitit: Any = sys.modules.get("submitit.slurm.slurm")
    if submitit is None:
        return False
    watcher = submitit.SlurmJob.watcher
    jobs = list(watcher._registered)
    return any(watcher.get_state(job) != "UNKNOWN" and not watcher.is_done(job) for job in jobs)
