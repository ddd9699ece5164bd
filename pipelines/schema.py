"""What Hydra composes from, the typed schemas (the package's dataclasses) and params.yaml; and the way back to them."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from mistakes import unknown_setting
from omegaconf import MISSING, DictConfig, OmegaConf

from reformer.data.config import DuplicationConfig, ImagesConfig, TextConfig
from reformer.evaluation.config import BenchmarkConfig
from reformer.settings import SettingError, require, require_at_least
from reformer.training.config import RunConfig
from reformer.training.run_name import run_name

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
PARAMS = ROOT / "params.yaml"
SECTIONS = ("data", "model", "optimizer", "trainer", "evaluation", "generation", "logger")
"""Those of a run."""
MAIN = "train"
"""The file of conf/ that everything starts from."""


@dataclass
class Runs:
    """Names of the runs of each list, without data set and seed."""

    duplication: list[str] = field(default_factory=list)
    text_pair: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    images_pair: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


@dataclass
class Seeds:
    """Seeds that each run of a list is repeated with."""

    duplication: list[int] = field(default_factory=list)
    text_pair: list[int] = field(default_factory=list)
    text: list[int] = field(default_factory=list)
    images_pair: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)


@dataclass
class Samples:
    """Names of the runs that texts and images are drawn from, without data set."""

    text: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What pipelines/plan.py assumes. Changes no run."""

    teraflops: float = 0.07
    """10^12 operations a second that a device does in training: here what two CPU cores do (0.04 to 0.12 were measured)."""
    price_per_hour: float = 0.0
    """Of a device, in any currency; 0 tells no price."""

    def __post_init__(self) -> None:
        require(self.teraflops > 0, "teraflops", "> 0", self.teraflops)
        require_at_least(0, price_per_hour=self.price_per_hour)


@dataclass
class PipelineConfig(RunConfig):
    """One run, and what `dvc repro` makes of it: the whole of conf/train.yaml and params.yaml."""

    benchmark: BenchmarkConfig = MISSING
    profile: str = MISSING
    """Sizes of everything: a file of conf/profile/."""
    seeds: Seeds = field(default_factory=Seeds)
    text: str = MISSING
    """Data set of the studies of text."""
    images: str = MISSING
    """Data set of the studies of images."""
    runs: Runs = field(default_factory=Runs)
    samples: Samples = field(default_factory=Samples)
    plan: Plan = field(default_factory=Plan)


def register() -> None:
    """Makes the schemas and params.yaml known to Hydra; its profile becomes the choice of a group."""
    store = ConfigStore.instance()
    store.store("pipeline", PipelineConfig, group="schema")
    for kind in (DuplicationConfig, TextConfig, ImagesConfig):
        store.store(kind.kind, kind, group="schema/data")
    params = _params()
    profile = params.pop("profile", "cpu")
    store.store("params", {"defaults": ["_self_", {"override /profile": profile}], **params})


def compose_usual(overrides: Sequence[str]) -> DictConfig:
    """Composes conf/train.yaml, whatever the script at hand was started with."""
    register()
    started = GlobalHydra.instance().is_initialized()
    with nullcontext() if started else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(MAIN, list(overrides))


def choices(group: str) -> list[str]:
    """What a group of conf/ offers."""
    return GlobalHydra.instance().config_loader().get_group_options(group)


def data_sets(config: DictConfig) -> dict[str, str]:
    """The data set of each list of runs."""
    text, images = config.text, config.images
    return {"duplication": "duplication", "text_pair": text, "text": text, "images_pair": images, "images": images}


def seeds_by_run(config: DictConfig) -> dict[str, list[int]]:
    """Seeds of each run that params.yaml lists, by its name without a seed."""
    return {
        f"{data}_{name}": list(config.seeds[kind])
        for kind, data in data_sets(config).items()
        for name in config.runs[kind]
    }


def listed_seeds() -> dict[str, list[int]]:
    """The same of params.yaml alone, whatever was typed: quicker than to compose it all."""
    lists = OmegaConf.create({"seeds": Seeds, "runs": Runs, "text": "", "images": ""})
    lists.merge_with(OmegaConf.masked_copy(_params(), list(lists)))
    return seeds_by_run(lists)


def run_config(config: DictConfig) -> RunConfig:
    """The run of a composed configuration, every value checked, with a name.

    Raises:
        SettingError: a value that no run can use.
    """
    sections = {name: typed(config, name) for name in SECTIONS}
    run = RunConfig(**sections, seed=config.seed, root=config.root, name=config.name)
    if not run.name or _changes_a_resolved_run():
        run.name = name_of(config)
    return run


def typed(config: DictConfig, section: str) -> Any:
    """A section as the package knows it. Building the object checks the values."""
    node = config[section]
    known = [item.name for item in fields(OmegaConf.get_type(node) or RunConfig)]
    for key in node:
        if key not in known:
            raise SettingError(unknown_setting(f"{section}.{key}", known))
    try:
        return OmegaConf.to_object(node)
    except SettingError as error:
        told = str(error)
        raise SettingError(told if told.startswith(f"{section}.") else f"{section}.{told}") from None


def name_of(config: DictConfig) -> str:
    """Names a run by how it differs from what is usual for its data set and profile."""
    usual_profile = _params().get("profile", "cpu")
    profile = config.get("profile", usual_profile)
    resolved = "profile" not in config
    usual = usual_settings(config.data.name, profile, resolved)
    return run_name(_plain(config, resolved), usual, "" if profile == usual_profile else profile)


@cache
def usual_settings(data: str, profile: str, resolved: bool) -> dict[str, Any]:
    """What is usual for a data set in a profile."""
    return _plain(compose_usual([f"data={data}", f"profile={profile}"]), resolved)


def _plain(config: DictConfig, resolved: bool) -> dict[str, Any]:
    sections = OmegaConf.masked_copy(config, ["data", "model", "optimizer", "trainer", "seed"])
    return OmegaConf.to_container(sections, resolve=resolved)  # type: ignore[return-value]


def _changes_a_resolved_run() -> bool:
    """Whether the command line changes a run file of data/configs/, whose name is then another's."""
    if not HydraConfig.initialized():
        return False
    job = HydraConfig.get()
    changed = [item for item in job.overrides.task if not item.startswith(("name=", "root=", "logger."))]
    return job.job.config_name != MAIN and bool(changed)


def _tags(*, _root_: DictConfig) -> list[str]:
    """What W&B can filter runs by: the profile, and the experiment where one is chosen."""
    profile = OmegaConf.select(_root_, "profile") or _params().get("profile", "cpu")
    chosen = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    return [profile, *filter(None, [chosen.get("experiment")])]


OmegaConf.register_new_resolver("tags", _tags, replace=True)


def _params() -> DictConfig:
    params = OmegaConf.load(PARAMS)
    if not isinstance(params, DictConfig):
        raise SettingError(f"{PARAMS.name} must map names to values")
    return params
