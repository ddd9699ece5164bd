"""Resolves the configuration of everything that params.yaml lists, each into a file of its own.

    python pipelines/compose.py

A stage of dvc.yaml depends on its file and not on conf/, so that it runs again only if one of its own settings changes.
Takes some seconds and checks all values. A file leaves out the settings of other stages, and those of data that only other
stages use. It keeps the ones that say how a stage is executed, such as trainer.accelerator.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cli.command import command
from cli.schema import (
    CONF,
    PROJECT,
    checked_section,
    compose_usual,
    kinds_of_data_sets,
    listed_runs,
    name_of,
    run_config,
)
from reformer.bench.config import BENCHMARKS
from reformer.data.config import DATA_KINDS
from reformer.files import Root, write_text
from reformer.model.attention_kinds import hashes
from reformer.runs.config import RunConfig
from reformer.runs.listed import ListedRuns, kind_of
from reformer.runs.name import SECTIONS, RunSpec
from reformer.settings import Role, SettingError, require, settings_with
from reformer.studies import check_studies

LISTED = ("profile", "text", "images", "runs", "seeds", "samples")
"""Settings that say what the report shows."""


@command
def main(config: DictConfig) -> None:
    """Writes <root>/configs/<script>/<name>.yaml, and removes the files of what is no longer listed."""
    folder = Root(Path(config.root)).configs
    files = {folder / place: content for place, content in _files(config)}
    for path in set(folder.rglob("*.yaml")) - set(files):
        path.unlink()
    for path, content in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            write_text(path, content)
    n_runs = sum(path.is_relative_to(folder / "train") for path in files)
    print(f"compose: profile {config.profile}, {n_runs} runs checked -> {folder}")


def composed_runs(config: DictConfig) -> Iterator[tuple[DictConfig, RunConfig]]:
    """The composed configuration of each listed run, and the same as a RunConfig with every value checked.

    Raises:
        SettingError: a list is wrong, or no run can use a value.
    """
    given = list(HydraConfig.get().overrides.task)
    _check_data_sets(config)
    listed = listed_runs(config)
    _check_lists(config, listed)
    check_studies(listed)
    for part, names in config.runs.items():
        for name in names:
            spec = listed.specs[f"{listed.data[kind_of(part)]}_{name}"]
            composed = compose_usual([*given, *spec.overrides()])  # once for all seeds, since it takes half a second
            for seed in config.seeds[part]:
                (of_run := composed.copy()).seed = seed
                run, expected = run_config(of_run), f"{spec.data}_{name}_seed-{seed}"
                if run.name.replace(f"_profile-{config.profile}", "") != expected:
                    # An override for all runs changes names too: a name is wrong only if it is wrong without it.
                    _refuse_another_spelling(f"runs.{part}", name, spec, config.profile)
                run.name, run.part = expected, part
                yield of_run, run


def _check_data_sets(config: DictConfig) -> None:
    """Raises a SettingError unless the data sets of text and of images are of these kinds."""
    kinds = kinds_of_data_sets(CONF)
    for kind in ("text", "images"):
        if kinds.get(config[kind]) != kind:
            of_kind = [name for name in kinds if kinds[name] == kind]
            raise SettingError(f"{kind} must be one of {', '.join(of_kind)}, got {config[kind]!r}")


def _check_lists(config: DictConfig, listed: ListedRuns) -> None:
    """Raises a SettingError unless each list of runs has a kind, seeds and stages, and names each run once."""
    lists: dict[str, str] = {}
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for part, names in config.runs.items():
        data, seeds = listed.data[kind_of(part)], config.seeds.get(part) or []
        require(not names or len(seeds) > 0, f"seeds.{part}", "a list of at least one, as [1]", list(seeds))
        _refuse_repetition(f"seeds.{part}", seeds)
        _refuse_repetition(f"runs.{part}", names)
        for stage in (f"train_{part}", f"evaluate_{part}") if names else ():
            if stage not in stages:
                raise SettingError(f"runs.{part}: dvc.yaml has no stage {stage}: add it as for the other lists")
        for name in names:
            if (other := lists.setdefault(f"{data}_{name}", part)) != part:
                raise SettingError(f"runs.{part}: {name} is listed in runs.{other} too, leave one of them")
            spec = listed.specs[f"{data}_{name}"]
            if spec.data != data:
                without = name.removeprefix(f"{spec.data.removeprefix(f'{data}_')}_")
                raise SettingError(
                    f"runs.{part}: leave out the data set of {name}: {without} (runs.{part} are on {data})"
                )
    for part in config.seeds:
        require(part in config.runs, f"seeds.{part}", f"named after a list of runs ({', '.join(config.runs)})", part)


def _refuse_another_spelling(setting: str, name: str, spec: RunSpec, profile: str) -> None:
    """Raises a SettingError unless the run's settings lead to its name."""
    spelled = name_of(compose_usual([f"profile={profile}", *spec.overrides()])).rpartition("_seed-")[0]
    spelled = spelled.removeprefix(f"{spec.data}_").replace(f"_profile-{profile}", "")
    if spelled != name:
        raise SettingError(f"{setting}: {name} is spelled {spelled}")


def _refuse_repetition(setting: str, items: Iterable[object]) -> None:
    for item, times in Counter(items).items():
        if times > 1:
            raise SettingError(f"{setting}: {item} is listed {times} times, leave one of them")


def _refuse_unlisted(setting: str, name: str, data: str, listed: list[str]) -> None:
    on_data = [run.removeprefix(f"{data}_") for run in listed if run.startswith(f"{data}_")]
    require(name in on_data, setting, f"a list of runs that are trained, as [{on_data[0] if on_data else ''}]", name)


def _files(config: DictConfig) -> Iterator[tuple[str, str]]:
    """The place of every file under the folder, and its content."""
    given = list(HydraConfig.get().overrides.task)
    names = []
    sampled = [f"{config[kind]}_{name}" for kind in config.samples for name in config.samples[kind]]
    for of_run, run in composed_runs(config):
        names.append(run.name)
        yield from _of_run(of_run, run, run.name in sampled)
    lists: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    yield "report.yaml", OmegaConf.to_yaml({key: lists[key] for key in LISTED})
    for kind in config.samples:
        for name in config.samples[kind]:
            _refuse_unlisted(f"samples.{kind}", name, config[kind], names)
    for data in (config.text, config.images):
        yield from _of_data(compose_usual([*given, f"data={data}"]))
    for name in BENCHMARKS:
        of_benchmark = compose_usual([*given, f"benchmark={name}"])
        checked_section(of_benchmark, "benchmark")
        yield f"benchmark/{name}.yaml", _file(of_benchmark, "benchmark", name, {"benchmark": None})


def _data_settings(config: DictConfig, *roles: Role) -> list[str]:
    return [setting.name for setting in settings_with(DATA_KINDS[config.data.kind], *roles)]


def _of_data(config: DictConfig) -> Iterator[tuple[str, str]]:
    """The settings of download and of prepare."""
    name = checked_section(config, "data").name
    published = ["name", "kind", *_data_settings(config, Role.PUBLISHED)]
    fetched = [*published, *_data_settings(config, Role.ORIGIN)]
    prepared = [*published, *_data_settings(config, Role.PREPARED)]
    yield f"download/{name}.yaml", _file(config, "download", name, {"data": fetched})
    yield f"prepare/{name}.yaml", _file(config, "prepare", name, {"data": prepared})
    evaluated = ["name", "kind", *_data_settings(config, Role.PREPARED, Role.RESULT)]
    yield f"simple_models/{name}.yaml", _file(config, "simple_models", name, {"data": list(dict.fromkeys(evaluated))})


def _of_run(config: DictConfig, run: RunConfig, sampled: bool) -> Iterator[tuple[str, str]]:
    """The settings of a run, of its evaluation and of its samples."""
    config.name, config.part = run.name, run.part
    data = _data_settings(config, *(set(Role) - {Role.PUBLISHED, Role.ORIGIN}))
    model = [key for key in config.model if key != "n_hashes" or hashes(config.model.attention)]
    settings = {"name": None, "part": None, **dict.fromkeys(SECTIONS), "data": data, "model": model, "seed": None}
    of_list = f"{run.part}/{run.name}"
    yield f"train/{of_list}.yaml", _file(config, f"train/{run.part}", run.name, settings)
    evaluation = {**settings, "evaluation": None}
    yield f"evaluate/{of_list}.yaml", _file(config, f"evaluate/{run.part}", run.name, evaluation)
    if sampled:
        yield f"generate/{run.name}.yaml", _file(config, "generate", run.name, {**settings, "generation": None})


def _file(config: DictConfig, script: str, name: str, settings: dict[str, list[str] | None]) -> str:
    """A configuration that the script can be started with.

    Args:
        config: the composed configuration.
        script: folder of the file; its first part is the name of the script.
        name: name of the file.
        settings: its sections, each with the settings that it keeps; None keeps all.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    kept = {
        section: plain[section] if keys is None else {key: plain[section][key] for key in keys}
        for section, keys in {**settings, "root": None}.items()
    }
    defaults: list[Any] = ["/schema/pipeline@_global_"]
    if "data" in settings:
        defaults.append({"/schema/data@data": plain["data"]["kind"]})
    of_script = script.partition("/")[0]
    head = f"# python pipelines/{of_script}.py --config-dir={plain['root']}/configs/{script} --config-name={name}\n"
    return head + OmegaConf.to_yaml({"defaults": [*defaults, {"/logger": "wandb"}, "/hydra/quiet", "_self_"], **kept})


if __name__ == "__main__":
    main()
