"""Resolves the whole configuration of everything that params.yaml lists, each into a file of its own.

    python pipelines/compose.py

A stage of dvc.yaml depends on its file, not on conf/: so it runs again exactly if one of its own settings has changed.
All values are checked, in about a second. What each file leaves out cannot change what its stage writes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from command import command
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from schema import choices, compose_usual, data_sets, name_of, run_config, typed

from reformer.evaluation.config import BENCHMARKS
from reformer.settings import SettingError, require
from reformer.training.config import RunConfig
from reformer.training.run_name import RunSpec

SOURCE = ("source", "mirror", "by_hand")
FETCHED = ("name", "kind", "files")
PREPARED = ("split", "side", "seq_len", "n_images")
"""Settings that change the prepared arrays; the length only where it follows from the side."""


@command
def main(config: DictConfig) -> None:
    """Writes <root>/configs/<script>/<name>.yaml, and removes what is no longer listed."""
    folder = Path(config.root) / "configs"
    files = {folder / place: content for place, content in _all(config)}
    for path in set(folder.rglob("*.yaml")) - set(files):
        path.unlink()
    for path, content in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    n_runs = sum(path.parent.name == "train" for path in files)
    print(f"compose: profile {config.profile}, {n_runs} runs checked -> {folder}")


def listed_runs(config: DictConfig) -> Iterator[tuple[DictConfig, RunConfig]]:
    """The composed configuration of each run that params.yaml lists, and the same with every value checked.

    Raises:
        SettingError: a list that makes no sense, or a value that no run can use.
    """
    given = list(HydraConfig.get().overrides.task)
    _check_data_sets(config, given)
    lists: dict[str, str] = {}
    for part, data in data_sets(config).items():
        require(
            not config.runs[part] or len(config.seeds[part]) > 0, f"seeds.{part}", "a list of at least one, as [1]", []
        )
        _refuse_twice(f"seeds.{part}", config.seeds[part])
        _refuse_twice(f"runs.{part}", config.runs[part])
        for name in config.runs[part]:
            if (other := lists.setdefault(f"{data}_{name}", part)) != part:
                raise SettingError(f"runs.{part}: {name} is listed in runs.{other} too, leave one of them")
            spec = RunSpec.parse(f"{data}_{name}")
            if spec.data != data:
                without = name.removeprefix(f"{spec.data.removeprefix(f'{data}_')}_")
                raise SettingError(
                    f"runs.{part}: leave out the data set of {name}: {without} (runs.{part} are on {data})"
                )
            for seed in config.seeds[part]:
                of_run = compose_usual([*given, *spec.overrides(), f"seed={seed}"])
                run, listed = run_config(of_run), f"{data}_{name}_seed-{seed}"
                if run.name.replace(f"_profile-{config.profile}", "") != listed:  # the command line may change all runs
                    _refuse_another_spelling(f"runs.{part}", name, spec, config.profile)
                run.name = listed
                yield of_run, run


def _check_data_sets(config: DictConfig, given: list[str]) -> None:
    """Raises a SettingError unless the data sets of text and of images are of these kinds."""
    for kind in ("text", "images"):
        data = config[kind]
        if data not in choices("data") or compose_usual([*given, f"data={data}"]).data.kind != kind:
            of_kind = [name for name in choices("data") if compose_usual([f"data={name}"]).data.kind == kind]
            raise SettingError(f"{kind} must be one of {', '.join(of_kind)}, got {data!r}")


def _refuse_another_spelling(setting: str, name: str, spec: RunSpec, profile: str) -> None:
    """Raises a SettingError unless a run is named as it is where only its name and the profile say what it is."""
    spelled = name_of(compose_usual([f"profile={profile}", *spec.overrides()])).rpartition("_seed-")[0]
    spelled = spelled.removeprefix(f"{spec.data}_").replace(f"_profile-{profile}", "")
    if spelled != name:
        raise SettingError(f"{setting}: {name} is spelled {spelled}")


def _refuse_twice(setting: str, listed: Iterable[object]) -> None:
    for item, times in Counter(listed).items():
        if times > 1:
            raise SettingError(f"{setting}: {item} is listed {times} times, leave one of them")


def _refuse_unlisted(setting: str, name: str, data: str, listed: list[str]) -> None:
    on_data = [run.removeprefix(f"{data}_") for run in listed if run.startswith(f"{data}_")]
    require(name in on_data, setting, f"a list of runs that are trained, as [{on_data[0] if on_data else ''}]", name)


def _all(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Every file's place under the folder, and its content."""
    given = list(HydraConfig.get().overrides.task)
    names = []
    for of_run, run in listed_runs(config):
        names.append(run.name)
        yield from _of_run(of_run, run.name)
    for kind in config.samples:
        for name in config.samples[kind]:
            _refuse_unlisted(f"samples.{kind}", name, config[kind], names)
    for data in (config.text, config.images):
        yield from _of_data(compose_usual([*given, f"data={data}"]))
    for name in BENCHMARKS:
        of_benchmark = compose_usual([*given, f"benchmark={name}"])
        typed(of_benchmark, "benchmark")
        yield f"benchmark/{name}.yaml", _file(of_benchmark, "benchmark", name, {"benchmark": None})


def _of_data(config: DictConfig) -> Iterator[tuple[str, str]]:
    """What download and prepare depend on."""
    data = typed(config, "data")
    prepared = [key for key in PREPARED if key in config.data and (key != "seq_len" or data.kind == "images")]
    yield f"download/{data.name}.yaml", _file(config, "download", data.name, {"data": [*FETCHED, *SOURCE]})
    yield f"prepare/{data.name}.yaml", _file(config, "prepare", data.name, {"data": [*FETCHED, *prepared]})


def _of_run(config: DictConfig, name: str) -> Iterator[tuple[str, str]]:
    """What a run, its evaluation and its samples depend on."""
    config.name = name
    data = [key for key in config.data if key not in (*SOURCE, "files")]
    model = [key for key in config.model if key != "n_hashes" or "lsh" in config.model.attention]
    sections = {"name": None, "data": data, "model": model, "optimizer": None, "trainer": None, "seed": None}
    yield f"train/{name}.yaml", _file(config, "train", name, sections)
    yield f"evaluate/{name}.yaml", _file(config, "evaluate", name, {**sections, "evaluation": None})
    if config.data.kind != "duplication":
        yield f"generate/{name}.yaml", _file(config, "generate", name, {**sections, "generation": None})


def _file(config: DictConfig, script: str, name: str, sections: dict[str, list[str] | None]) -> str:
    """The sections, or those settings of them, as a file that the script can be started with."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    kept = {
        section: plain[section] if keys is None else {key: plain[section][key] for key in keys}
        for section, keys in {**sections, "root": None}.items()
    }
    defaults: list[Any] = ["/schema/pipeline@_global_"]
    if "data" in sections:
        defaults.append({"/schema/data@data": plain["data"]["kind"]})
    head = f"# python pipelines/{script}.py --config-dir={plain['root']}/configs/{script} --config-name={name}\n"
    return head + OmegaConf.to_yaml({"defaults": [*defaults, {"/logger": "wandb"}, "/hydra/quiet", "_self_"], **kept})


if __name__ == "__main__":
    main()
