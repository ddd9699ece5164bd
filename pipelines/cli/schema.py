"""The schema of the whole configuration, and its composition from conf/, params.yaml and the command line."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf

from cli.mistakes import BY_LIST, by_list, unknown_setting
from reformer.bench.config import BenchmarkConfig
from reformer.data.config import DATA_KINDS
from reformer.runs.config import RunConfig
from reformer.runs.listed import ListedRuns
from reformer.runs.name import SECTIONS, run_name
from reformer.settings import SettingError, require, require_at_least

PROJECT = Path(__file__).resolve().parents[2]
CONF = PROJECT / "conf"
PARAMS = PROJECT / "params.yaml"
MAIN = "train"
"""The file of conf/ that every composition starts from."""


@dataclass
class PlanConfig:
    """Assumptions of pipelines/plan.py. They change no run."""

    teraflops: float = 0.07
    """10^12 operations that a device does in a second of training: here those of two CPU cores (0.04 to 0.12 measured)."""
    price_per_hour: float = 0.0
    """Price of one device in any currency; 0 prints no prices."""

    def __post_init__(self) -> None:
        require(self.teraflops > 0, "teraflops", "> 0", self.teraflops)
        require_at_least(0, price_per_hour=self.price_per_hour)


@dataclass
class PipelineConfig(RunConfig):
    """One run, and the plan of `dvc repro`: all settings of conf/train.yaml and params.yaml."""

    benchmark: BenchmarkConfig = MISSING
    profile: str = MISSING
    """The sizes of everything: a file of conf/profile/."""
    text: str = MISSING
    """Data set of the studies of text."""
    images: str = MISSING
    """Data set of the studies of images."""
    runs: dict[str, list[str]] = field(default_factory=dict)
    """Names of runs, without data set and seed, by list. The first word of a list's name is its kind of data."""
    seeds: dict[str, list[int]] = field(default_factory=dict)
    """Seeds by list: each run of the list is repeated with each of them."""
    samples: dict[str, list[str]] = field(default_factory=dict)
    """Names of the runs, with their seed, that generate samples, by kind of data."""
    plan: PlanConfig = field(default_factory=PlanConfig)


def register() -> None:
    """Makes the schemas, params.yaml and the sizes of each data set known to Hydra."""
    store = ConfigStore.instance()
    store.store("pipeline", PipelineConfig, group="schema")
    for name, kind in DATA_KINDS.items():
        store.store(name, kind, group="schema/data")
    for data, name in _kinds_of_data_sets():
        for profile in CONF.glob("profile/*/"):
            if (profile / f"{data}.yaml").exists():
                continue
            store.store(data, {"defaults": [name]}, group=f"profile/{profile.name}", package="_global_")
    params = params_yaml()
    profile = params.pop("profile", "cpu")
    store.store("params", {"defaults": ["_self_", {"override /profile": profile}], **params})


def _kinds_of_data_sets() -> Iterator[tuple[str, str]]:
    """The name and the kind of each data set in conf/data/."""
    for path in sorted(CONF.glob("data/*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for entry in content.get("defaults", []):
            if isinstance(entry, dict) and (kind := entry.get("/schema/data@_here_")) and kind != path.stem:
                yield path.stem, kind


def params_yaml() -> DictConfig:
    """The content of params.yaml; raises SettingError."""
    params = OmegaConf.load(PARAMS)
    if not isinstance(params, DictConfig):
        raise SettingError(f"{PARAMS.name} must map names to values")
    for name in BY_LIST:
        if not isinstance(params.get(name, {}), DictConfig | dict):
            raise SettingError(f"{PARAMS.name}: {by_list(name)}")
    return params


def compose_usual(overrides: Sequence[str]) -> DictConfig:
    """Composes conf/train.yaml with these overrides. Ignores the command line of the script."""
    register()
    started = GlobalHydra.instance().is_initialized()
    with nullcontext() if started else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(MAIN, list(overrides))


def choices(group: str) -> list[str]:
    """The options of a group of conf/."""
    return GlobalHydra.instance().config_loader().get_group_options(group)


def listed_runs(config: DictConfig) -> ListedRuns:
    """The runs that a composed configuration lists."""
    return ListedRuns.of(config.runs, config.seeds, text=config.text, images=config.images)


def runs_of_params_yaml() -> ListedRuns:
    """The runs of params.yaml itself, without composing everything else."""
    params = params_yaml()
    return ListedRuns.of(
        params.get("runs") or {},
        params.get("seeds") or {},
        text=params.get("text", ""),
        images=params.get("images", ""),
    )


def checked_section(config: DictConfig, section: str) -> Any:
    """Returns a section as an instance of its dataclass, which checks the values; raises SettingError."""
    node = config[section]
    known = [item.name for item in fields(OmegaConf.get_type(node) or RunConfig)]
    for key in node:
        if key not in known:
            raise SettingError(unknown_setting(f"{section}.{key}", known))
    try:
        return OmegaConf.to_object(node)
    except SettingError as error:
        message = str(error)
        raise SettingError(message if message.startswith(f"{section}.") else f"{section}.{message}") from None


def run_config(config: DictConfig) -> RunConfig:
    """Returns the run of a composed configuration, checked and named; raises SettingError."""
    sections = [
        item.name for item in fields(RunConfig) if item.name in config and isinstance(config[item.name], DictConfig)
    ]
    checked = {name: checked_section(config, name) for name in sections}
    run = RunConfig(**checked, seed=config.seed, root=config.root, name=config.name)
    if not run.name or _changes_a_resolved_run():
        run.name = name_of(config)
    return run


def name_of(config: DictConfig) -> str:
    """Names a run by its differences from the usual settings of its data set and profile."""
    usual_profile = params_yaml().get("profile", "cpu")
    profile = config.get("profile", usual_profile)
    resolved = "profile" not in config
    usual = usual_settings(config.data.name, profile, resolved)
    return run_name(_plain(config, resolved), usual, "" if profile == usual_profile else profile)


@cache
def usual_settings(data: str, profile: str, resolved: bool) -> dict[str, Any]:
    """The usual settings of a data set in a profile."""
    return _plain(compose_usual([f"data={data}", f"profile={profile}"]), resolved)


def _plain(config: DictConfig, resolved: bool) -> dict[str, Any]:
    named = OmegaConf.masked_copy(config, [*SECTIONS, "seed"])
    return OmegaConf.to_container(named, resolve=resolved)  # type: ignore[return-value]


def _changes_a_resolved_run() -> bool:
    """Returns whether the command line changes a run of data/configs/. The name in the file is then wrong."""
    if not HydraConfig.initialized():
        return False
    job = HydraConfig.get()
    changed = [item for item in job.overrides.task if not item.startswith(("name=", "root=", "logger."))]
    return job.job.config_name != MAIN and bool(changed)


def _tags(*, _root_: DictConfig) -> list[str]:
    """Tags of a run in W&B: its profile, and the experiment if one is chosen."""
    profile = OmegaConf.select(_root_, "profile") or params_yaml().get("profile", "cpu")
    chosen = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    return [profile, *filter(None, [chosen.get("experiment")])]


OmegaConf.register_new_resolver("tags", _tags, replace=True)
