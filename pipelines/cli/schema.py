"""The schema of the whole configuration, and its composition from conf/, params.yaml and the command line."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, ListConfig, Node, OmegaConf, open_dict

from cli import private
from cli.hydra_settings import check_hydra_settings
from cli.mistakes import BY_LIST, by_list, unknown_setting
from cli.typed import check_yaml, refuse_password
from reformer.bench.config import BenchmarkConfig
from reformer.data.config import DATA_KINDS
from reformer.runs.config import RunConfig
from reformer.runs.listed import ListedRuns
from reformer.runs.name import SECTIONS, run_name
from reformer.settings import SettingError, require, require_at_least
from reformer.studies import studies_of

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
    """Makes the schemas, params.yaml and the sizes of each data set known to Hydra, and has each composition checked."""
    private.check_each_composition(check_composition)
    store = ConfigStore.instance()
    store.store("pipeline", PipelineConfig, group="schema")
    for name, kind in DATA_KINDS.items():
        store.store(name, kind, group="schema/data")
    for data, name in kinds_of_data_sets(CONF).items():
        for profile in CONF.glob("profile/*/"):
            if data == name or (profile / f"{data}.yaml").exists():
                continue
            store.store(data, {"defaults": [name]}, group=f"profile/{profile.name}", package="_global_")
    params = params_yaml()
    profile = params.pop("profile", "cpu")
    store.store("params", {"defaults": ["_self_", {"override /profile": profile}], **params})


def check_composition(config: DictConfig) -> None:
    """Checks what Hydra accepts and nobody can mean: unknown settings, passwords, and classes for Hydra to create.

    Raises:
        SettingError: the configuration has one of them.
    """
    if "hydra" in config:
        check_hydra_settings(config.hydra, CONF)
    known = [item.name for item in fields(PipelineConfig)]
    for key in config:
        if key not in ("hydra", *known):
            raise SettingError(unknown_setting(str(key), known, _paths()))
    for key in known:
        if key in config and not OmegaConf.is_missing(config, key):
            _check_node(key, config._get_node(key))


def _check_node(key: str, node: Any) -> None:
    """Checks a setting, and those in it."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
        kind = OmegaConf.get_type(node)
        known = [item.name for item in fields(kind)] if is_dataclass(kind) else list(node)
        for name in node:
            if name not in known:
                raise SettingError(unknown_setting(f"{key}.{name!s}", known))
            _check_node(f"{key}.{name!s}", node._get_node(name))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_interpolation():
        for item in node._content or ():
            _check_node(key, item)
    elif isinstance(node, Node) and isinstance(value := node._value(), str):
        refuse_password(key, value)


def _paths() -> list[str]:
    """The settings of all sections, as trainer.max_steps."""
    sections = {item.name: item.type for item in fields(PipelineConfig) if is_dataclass(item.type)}
    return [f"{section}.{item.name}" for section, kind in sections.items() for item in fields(kind)]


@cache
def kinds_of_data_sets(conf: Path) -> dict[str, str]:
    """Reads the kind of each data set that is described in a folder's data/."""
    kinds: dict[str, str] = {}
    for path in sorted(conf.glob("data/*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for entry in content.get("defaults", []):
            if isinstance(entry, dict) and (kind := entry.get("/schema/data@_here_")):
                kinds[path.stem] = kind
    return kinds


def params_yaml() -> DictConfig:
    """The content of params.yaml; raises SettingError."""
    check_yaml(PARAMS)
    params = OmegaConf.load(PARAMS)
    if not isinstance(params, DictConfig):
        raise SettingError(f"{PARAMS.name} must map names to values")
    for name in BY_LIST:
        if not isinstance(params.get(name, {}), DictConfig | dict):
            raise SettingError(f"{PARAMS.name}: {by_list(name)}")
    return params


def compose_usual(overrides: Sequence[str]) -> DictConfig:
    """Composes conf/train.yaml with these overrides. Ignores the command line of the script."""
    started = GlobalHydra.instance().is_initialized()
    if not started:
        register()
    with nullcontext() if started else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(MAIN, list(overrides))


def listed_runs(config: DictConfig) -> ListedRuns:
    """The runs that a composed configuration lists; raises SettingError."""
    for kind in ("text", "images"):
        require(not OmegaConf.is_missing(config, kind), kind, "the data set of its studies, in params.yaml", "none")
    return ListedRuns.of(config.runs, config.seeds, text=config.text, images=config.images)


@cache
def runs_of_params_yaml() -> ListedRuns:
    """The runs of params.yaml and of its profile, without the command line."""
    return listed_runs(compose_usual([]))


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
    run = RunConfig(**checked, seed=config.seed, root=config.root, name=config.name, part=config.get("part", ""))
    if not run.name or _changes_a_resolved_run():
        run.name = name_of(config)
    return run


def resolved_run(path: Path) -> RunConfig:
    """Returns a run that compose has resolved into a file, tagged by the studies that compare it."""
    resolved = OmegaConf.load(path)
    assert isinstance(resolved, DictConfig)
    del resolved["defaults"]
    with open_dict(usual := compose_usual([f"data={resolved.data.name}"])):
        run = run_config(OmegaConf.merge(usual, resolved))  # type: ignore[arg-type]
    run.logger.tags += studies_of(run.name.rpartition("_seed-")[0], runs_of_params_yaml())
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
