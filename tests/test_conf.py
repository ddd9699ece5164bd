"""Every configuration composes; names and settings belong together; a mistake costs a line and no time."""

import errno
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from project import PROJECT, Script

from cli import command, schema
from cli.mistakes import in_one_line
from cli.schema import checked_section, compose_usual, run_config
from cli.tags import grouped, tagged_run
from reformer.runs.config import RunConfig
from reformer.runs.name import LONGEST, RunSpec
from reformer.settings import SettingError
from reformer.studies import STUDIES, check_studies, no_runs, studies_of

PARAMS = OmegaConf.load(schema.PARAMS)
Composed = Callable[..., dict[str, str]]
DATA, PROFILES, EXPERIMENTS = (
    sorted(path.stem for path in (schema.CONF / group).glob("*.yaml")) for group in ("data", "profile", "experiment")
)
MORE_PROFILES = [pytest.param(name, marks=[pytest.mark.slow] * (name != PARAMS.profile)) for name in PROFILES]
"""The profile of params.yaml in the quick tests, the others in the slow ones."""
SCRIPTS = [path.stem for path in (PROJECT / "pipelines").glob("*.py") if "@command" in path.read_text()]
SCRIPTS.remove("bench")  # started by `make bench`
LISTED = list(schema.runs_of_params_yaml().specs)
FEW = """
samples:
  text: []
  images:
  - lsh-16_reversible_seed-3
seeds:
  duplication:
  - 1
  text:
  - 1
  - 2
  images:
  - 3
runs:
  duplication:
  - lsh-2_reversible
  text:
  - lsh-4_ordinary
  images:
  - lsh-16_reversible
"""
FEW_NAMES = [
    ("duplication", "duplication_lsh-2_reversible_seed-1"),
    ("text", "wikipedia_lsh-4_ordinary_seed-1"),
    ("text", "wikipedia_lsh-4_ordinary_seed-2"),
    ("images", "emoji_lsh-16_reversible_seed-3"),
]


def settled(*overrides: str) -> RunConfig:
    return run_config(compose_usual(overrides))


def again(name: str) -> RunConfig:
    """The run that a name stands for."""
    listed, _, seed = name.rpartition("_seed-")
    return settled(*RunSpec.parse(listed).overrides(), f"seed={seed}")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A params.yaml of the test's own, with few runs."""
    path = tmp_path / "params.yaml"
    path.write_text((PROJECT / "params.yaml").read_text() + FEW)
    monkeypatch.setattr(schema, "PARAMS", path)
    caches = (schema.usual_settings, schema.runs_of_params_yaml)
    for cached in caches:
        cached.cache_clear()
    yield path
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conf/ of the test's own."""
    folder = tmp_path / "conf"
    shutil.copytree(schema.CONF, folder)
    for module in (schema, command):
        monkeypatch.setattr(module, "CONF", folder)
    return folder


@pytest.fixture
def composed(params: Path, tmp_path: Path, typed: Script) -> Composed:
    """Runs compose and returns what it wrote, by the path below its folder."""

    def run(*arguments: str) -> dict[str, str]:
        for cached in (schema.usual_settings, schema.runs_of_params_yaml):
            cached.cache_clear()
        done = typed("compose", f"root={tmp_path}/data", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        folder = tmp_path / "data" / "configs"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.yaml")}

    return run


# What composes


@pytest.mark.parametrize("profile", MORE_PROFILES)
@pytest.mark.parametrize("data", DATA)
def test_every_profile_fits_every_data_set(data: str, profile: str) -> None:
    run = settled(f"data={data}", f"profile={profile}")
    assert run.data.name == data
    assert run.model.max_seq_len == run.data.seq_len
    assert run.model.vocab_size == run.data.vocab_size


@pytest.mark.parametrize("profile", MORE_PROFILES)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_in_every_profile(experiment: str, profile: str) -> None:
    config = compose_usual([f"experiment={experiment}", f"profile={profile}"])
    assert run_config(config).trainer.steps >= 1
    assert checked_section(config, "benchmark").repeats >= 1


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_says_command_expectation_and_cost(experiment: str) -> None:
    text = (schema.CONF / "experiment" / f"{experiment}.yaml").read_text()
    for word in ("# Command:  python pipelines/", "# Expected: ", "# Cost:     "):
        assert word in text


@pytest.mark.parametrize(
    ("model", "optimizer", "trainer"),
    [("reformer", "adafactor", "default"), ("transformer", "adam", "ddp"), ("mixed", "adafactor", "ddp")],
)
def test_every_choice_composes(model: str, optimizer: str, trainer: str) -> None:
    run = settled(f"model={model}", f"optimizer={optimizer}", f"trainer={trainer}", "data.batch_size=8")
    assert run.optimizer.name == optimizer
    assert run.model.reversible == (model != "transformer")


@pytest.mark.parametrize("data", DATA)
def test_every_network_is_evaluated_with_its_lsh_layers_switched_off_too(data: str) -> None:
    for experiment in (), ("experiment=lsh_off",):
        assert "off" in settled(*experiment, f"data={data}").evaluation.attention


def test_the_paper_s_number_of_buckets_follows_from_its_chunks() -> None:
    for data, n_buckets in (("enwik8", 1024), ("imagenet64", 192)):
        run = settled("profile=paper", f"data={data}")
        assert 2 * (run.data.seq_len // run.model.chunk_len) == n_buckets


def test_the_paper_s_profile_trains_on_data_with_adafactor_over_eight_devices() -> None:
    for data in ("enwik8", "imagenet64", "imagenet64_small"):
        run = settled("profile=paper", f"data={data}")
        assert (run.optimizer.name, run.trainer.devices, run.data.batch_size) == ("adafactor", 8, 8)


def test_conf_gives_way_to_params_to_the_experiment_to_the_command_line(params: Path) -> None:
    params.write_text("profile: cpu-long\nmodel: {n_hashes: 16, attention: [full]}\ntrainer: {steps_scale: 0.25}\n")
    profile = OmegaConf.load(schema.CONF / "profile" / "cpu-long" / "images.yaml")
    config = compose_usual(["experiment=hash_rounds"])  # sets the attention, not the rounds
    assert (config.profile, config.data.seq_len) == ("cpu-long", profile.data.seq_len)
    assert (config.model.n_hashes, list(config.model.attention)) == (16, ["lsh"])
    assert config.trainer.steps_scale == 0.25
    config = compose_usual(["experiment=hash_rounds", "profile=cpu", "model.n_hashes=3", "data=duplication"])
    assert (config.profile, config.model.n_hashes, config.data.name) == ("cpu", 3, "duplication")


# Names


@pytest.mark.parametrize("listed", LISTED)
def test_the_runs_of_params_are_named_by_what_they_are(listed: str) -> None:
    run = again(f"{listed}_seed-3")
    assert run.name == f"{listed}_seed-3"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("data=photos model.n_hashes=8", "photos_lsh-8_reversible_seed-1"),
        ("data=photos model=transformer seed=4", "photos_full_ordinary_separate-qk_seed-4"),
        ("data=wikipedia model.reversible=false", "wikipedia_lsh-4_ordinary_n-streams-2_seed-1"),
        ("optimizer.lr=3e-4 model.dropout=0.1", "wikipedia_lsh-4_reversible_dropout-0.1_lr-0.0003_seed-1"),
        ("model.attention=[local,local,lsh,local]", "wikipedia_local-local-lsh-4-local_reversible_seed-1"),
        ("model.n_layers=12 residuals=ordinary", "wikipedia_lsh-4_ordinary_layers-12_seed-1"),
        ("optimizer.betas=[0.5,0.75]", "wikipedia_lsh-4_reversible_betas-0.5+0.75_seed-1"),
        ("profile=paper data=enwik8", "enwik8_lsh-2_reversible_profile-paper_seed-1"),
        (
            "data.seq_len=1024 model.positions=learned",
            "wikipedia_lsh-4_reversible_seq-len-1024_positions-learned_seed-1",
        ),
        ("trainer.accelerator=cpu logger.mode=disabled root=elsewhere", "wikipedia_lsh-4_reversible_seed-1"),
    ],
)
def test_a_name_says_what_differs_and_leads_back_to_it(overrides: str, name: str) -> None:
    run = settled("data=wikipedia", *overrides.split())
    assert run.name == name
    back = again(name)
    assert back.name == name
    assert (back.data, back.model, back.optimizer) == (run.data, run.model, run.optimizer)


def tags(*overrides: str) -> list[str]:
    return tagged_run(compose_usual(overrides)).logger.tags


def test_the_listed_runs_are_tagged_by_the_studies_that_compare_them() -> None:
    listed = (
        f"{PARAMS.text}_local-lsh-2_reversible",
        f"{PARAMS.images}_local-lsh-2_reversible",
        "duplication_full_reversible",
    )
    found = [tags(*RunSpec.parse(name).overrides()) for name in listed]
    assert found[0] == ["cpu", "reversible_text", "lsh_off"]
    assert found[1] == ["cpu", "against_transformer", "lsh_off"]
    assert found[2] == ["cpu", "duplication"]
    assert tags("data=emoji", "model.n_hashes=3") == ["cpu"]
    assert tags(*RunSpec.parse(listed[1]).overrides(), "seed=5") == found[1]


def test_a_run_needs_no_lists_in_params(params: Path) -> None:
    params.write_text("profile: cpu\n")
    assert tags("data=photos") == ["cpu"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_runs_and_seeds_of_each_list_and_compares_without_doubt(profile: str) -> None:
    config = compose_usual([f"profile={profile}"])
    listed = schema.listed_runs(config)
    check_studies(listed)
    assert set(config.runs) == set(config.seeds) >= {"duplication", "text", "images"}
    assert all(config.runs.values())
    assert all(config.seeds.values())
    for kind, names in config.samples.items():
        for name in names:
            run, _, seed = name.rpartition("_seed-")
            assert int(seed) in listed.seeds[f"{config[kind]}_{run}"]


def test_the_paper_s_profile_lists_the_runs_of_every_study() -> None:
    listed = schema.listed_runs(compose_usual(["profile=paper"]))
    compared = {study for name in listed.specs for study in studies_of(name, listed)}
    assert compared == {study.id for study in STUDIES if study.runs is not no_runs}


@pytest.mark.parametrize(
    ("overrides", "group"),
    [
        ("data=emoji model=mixed model.n_hashes=2", "against_transformer"),
        ("data=emoji model=mixed model.n_hashes=2 logger.group=mine", "mine"),
        ("data=emoji model.n_hashes=3", ""),
    ],
)
def test_a_run_is_grouped_by_the_first_study_that_compares_it(overrides: str, group: str) -> None:
    assert grouped(tagged_run(compose_usual(overrides.split()))).logger.group == group


def test_two_runs_that_differ_never_share_a_name_however_long_the_difference() -> None:
    long = [f"model.{key}={value}" for key, value in {"d_model": 96, "d_ff": 80, "n_heads": 6, "d_head": 24}.items()]
    long += [
        "optimizer.schedule=constant",
        "optimizer.weight_decay=0.01",
        "trainer.max_steps=123",
        "model.causal=false",
    ]
    names = {settled("data=wikipedia", *long, f"model.chunk_len={length}").name for length in (8, 16)}
    assert len(names) == 2
    assert all(len(name) < LONGEST + 20 for name in names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photos-full", "runs must be named <data>_<attention>_"),
        ("photos_lsh-0_reversible", r"the attention of run photos_lsh-0 must be full, unmasked, local, off, lsh-N"),
        ("photos_lsh-2-lsh-4_reversible", r"the attention of run photos_lsh-2-lsh-4 must be"),
        ("photos_full_reversible_speed-3", "each further part of a run's name must be <setting>-<value>"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        RunSpec.parse(name).overrides()


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("model.n_hashs=2", "error: there is no setting model.n_hashs, did you mean n_hashes? (model: vocab_size, "),
        ("modle=x", "error: there is no setting modle, did you mean model? (there are: data, model, "),
        ("+model.foo=2", "error: there is no setting model.foo (model: vocab_size, "),
        ("data=photos data.split=[1]", "error: there is no setting data.split"),
        ("model.n_hashes=two", "error: model.n_hashes must be a whole number: Value 'two' "),
        ("model.causal=maybe", "error: model.causal must be true or false: Value 'maybe' "),
        ("optimizer.lr=", "error: optimizer.lr must be a number: "),
        ("model.attention=lsh", "error: model.attention must be a list, as [a,b]: "),
        ("model.n_hashes=0", "error: model.n_hashes must be >= 1, got 0"),
        ("data=photos data.side=32", "error: data.seq_len must be side * side * 3 = 3072, got 768"),
        (
            "trainer.devices=3",
            "error: data.batch_size must be a multiple of trainer.devices * trainer.num_nodes = 3, got ",
        ),
        ("model.max_seq_len=7", "error: model.max_seq_len must be >= data.seq_len = "),
        ("evaluation.attention=[lhs-4]", "error: evaluation.attention must be full, unmasked, local, off, lsh-N"),
        ("seeds=[1,2]", "error: seeds is by list: seeds.text=[1,2]\n"),
        ("seeds=3", "error: seeds is by list: seeds.text=[1,2]\n"),
        ("runs=[full_ordinary]", "error: runs is by list: runs.text=[lsh-2_reversible]\n"),
        ("trainer.precision=8", "error: trainer.precision must be one of 32-true, 16-mixed, "),
        ("model=nope", "error: model=nope is no choice: model must be one of mixed, reformer, transformer"),
        ("profile=nope", "error: profile=nope is no choice: profile must be one of cpu, cpu-long, paper"),
        ("experiment=nope", "error: experiment=nope is no choice: experiment must be one of duplication, "),
        (
            "trainer=3",
            "error: a group of settings is chosen by the name of a file, as data=photos; the choices: --help",
        ),
        ("model.n_hashes", "error: model.n_hashes is no setting with a value: type it as"),
        ("--config-name=nope", "error: Cannot find primary config 'nope'"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_torch_loads(typed: Script, arguments: str, said: str) -> None:
    done = typed("train", *arguments.split())
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_mistake_costs_no_time(script: Script) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = script("train", "model.n_hashes=0")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: model.n_hashes must be >= 1, got 0\n")


def test_a_mistake_in_a_file_names_the_file(params: Path, conf: Path, typed: Script) -> None:
    params.write_text(params.read_text() + "optimizer:\n  lrr: 1\n")
    assert typed("compose").stderr.startswith("error: params.yaml: there is no setting optimizer.lrr, did ")
    profile = conf / "profile" / "cpu.yaml"
    profile.write_text(profile.read_text().replace("dropout", "drop_out"))
    assert typed("compose").stderr.startswith("error: conf/profile/cpu.yaml: there is no setting model.drop")


def test_data_that_is_missing_is_told_in_one_line(script: Script, tmp_path: Path) -> None:
    done = script("prepare", "data=enwik8", f"root={tmp_path}")
    assert done.stderr == f"error: {tmp_path}/raw/enwik8/enwik8.zip is missing: run the download stage first\n"
    assert done.returncode == 1
    done = script("download", "data=enwik8", f"root={tmp_path}", "data.source=/nowhere")
    assert done.stderr.startswith("error: data.source=/nowhere holds no enwik8.zip of 36,445,475 bytes")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_is_told_by_its_remedy() -> None:
    remedy = "the disk is full: free some room, or choose another folder by root=/its/path"
    assert in_one_line(OSError(errno.ENOSPC, "No space left on device", "weights")) == remedy
    assert in_one_line(RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0")) == remedy
    assert in_one_line(PermissionError(errno.EACCES, "Permission denied", "/x")) == "/x: Permission denied"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    assert in_one_line(ZeroDivisionError("division by zero")) == ""


def test_help_says_what_the_script_does_and_what_can_be_chosen(script: Script) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = script("train", "--help")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Trains one network")
    assert "model       mixed, reformer, transformer" in done.stdout
    assert done.stdout.count("    python pipelines/train.py") >= 3


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_help(typed: Script, name: str) -> None:
    done = typed(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python pipelines/{name}.py" in done.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_told_in_one_line_and_by_the_exit_status(tmp_path: Path, number: int, status: int) -> None:
    program = tmp_path / "wait.py"
    stop = {signal.SIGINT: "KeyboardInterrupt", signal.SIGTERM: "SIGTERMException"}[signal.Signals(number)]
    program.write_text(
        f"import sys; sys.path.insert(0, {str(PROJECT / 'pipelines')!r})\n"
        "from cli.command import command\n"
        "class SIGTERMException(SystemExit): pass\n"  # Lightning's: it would exit with status 0
        "@command\n"
        f"def main(config): raise {stop}\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == status
    assert done.stderr in ("interrupted\n", "terminated\n")


# Resolved files


def test_compose_writes_one_file_a_run_the_same_bytes_again_and_removes_stale_ones(
    composed: Composed, tmp_path: Path
) -> None:
    first = composed()
    of_lists = [f"{part}/{name}" for part, name in FEW_NAMES]
    for stage in ("train", "evaluate"):
        assert {path for path in first if path.startswith(f"{stage}/")} == {f"{stage}/{name}.yaml" for name in of_lists}
    (sample,) = [path for path in first if path.startswith("generate/")]
    assert sample == "generate/emoji_lsh-16_reversible_seed-3.yaml"
    assert all("part: images\n" in first[path] for path in (sample, "train/images/emoji_lsh-16_reversible_seed-3.yaml"))
    paths = list((tmp_path / "data" / "configs").rglob("*.yaml"))
    times = {path: path.stat().st_mtime_ns for path in paths}
    stale = [tmp_path / "data" / "configs" / "train" / place for place in ("text/old.yaml", "old.yaml")]
    for path in stale:
        path.write_text("")
    time.sleep(0.01)
    assert composed() == first
    assert {path: path.stat().st_mtime_ns for path in paths} == times
    assert not any(path.exists() for path in stale)


@pytest.mark.slow
def test_compose_changes_only_what_a_setting_touches(composed: Composed, conf: Path, params: Path) -> None:
    first = composed()

    def touched(file: Path, old: str, new: str) -> set[str]:
        """Names of the files that are not as they were, after a change that is taken back again."""
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new, 1))
        after = composed()
        file.write_text(before)
        return {name for name in first.keys() | after.keys() if first.get(name) != after.get(name)}

    of_text = {
        f"{stage}/text/{name}.yaml" for stage in ("train", "evaluate") for part, name in FEW_NAMES if part == "text"
    }
    assert touched(conf / "profile" / "cpu" / "text.yaml", "d_ff: ", "d_ff: 1") == of_text
    of_copy = {f"evaluate/{part}/{name}.yaml" for part, name in FEW_NAMES if part == "duplication"}
    assert touched(conf / "evaluation" / "table_2.yaml", "lsh-8", "lsh-9") == of_copy
    assert touched(conf / "logger" / "wandb.yaml", "project: reformer", "project: other") == set()
    of_data = {"download/wikipedia.yaml", "prepare/wikipedia.yaml"}
    assert touched(conf / "data" / "wikipedia.yaml", "size: 1", "size: 2") == of_data
    new = {f"{stage}/images/emoji_lsh-32_reversible_seed-3.yaml" for stage in ("train", "evaluate")} | {"report.yaml"}
    assert touched(params, "  - lsh-16_reversible\n", "  - lsh-16_reversible\n  - lsh-32_reversible\n") == new


@pytest.mark.slow
def test_compose_takes_another_profile_on_its_command_line_and_names_the_runs_as_they_are_listed(
    composed: Composed,
) -> None:
    runs = {path: text for path, text in composed("profile=paper").items() if path.startswith("train/")}
    assert {Path(path).stem for path in runs} == {name for _, name in FEW_NAMES}
    assert all(f"name: {Path(path).stem}\n" in text for path, text in runs.items())


@pytest.mark.slow
def test_compose_takes_a_setting_for_all_runs_on_its_command_line_and_names_the_runs_as_they_are_listed(
    composed: Composed, params: Path, typed: Script
) -> None:
    files = composed("trainer.steps_scale=0.25", "model.dropout=0.125")
    runs = {Path(path).stem: text for path, text in files.items() if path.startswith("train/")}
    assert set(runs) == {name for _, name in FEW_NAMES}
    for name, text in runs.items():
        assert all(f"{setting}\n" in text for setting in (f"name: {name}", "dropout: 0.125", "steps_scale: 0.25"))
    params.write_text(params.read_text().replace("- lsh-2_reversible", "- lsh-2_reversible_layers-1"))
    done = typed("compose", "trainer.steps_scale=0.25", "root=nowhere")  # one layer is as usual
    assert done.stderr == "error: runs.duplication: lsh-2_reversible_layers-1 is spelled lsh-2_reversible\n"


def test_a_resolved_run_is_started_from_its_file_and_can_be_changed(
    composed: Composed, typed: Script, tmp_path: Path
) -> None:
    composed()
    part, name = FEW_NAMES[0]
    of_file = [f"--config-dir={tmp_path}/data/configs/train/{part}", f"--config-name={name}"]
    assert "lr: 0.125" in typed("train", *of_file, "optimizer.lr=0.125", "--cfg=job").stdout
    done = typed("train", *of_file, "model.n_hashs=3")
    assert done.stderr.startswith("error: there is no setting model.n_hashs, did you mean n_hashes?")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "params.yaml"]


def test_a_list_of_one_s_own_needs_stages_and_runs_of_its_own(
    params: Path, tmp_path: Path, typed: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {"seeds": {"text_more": [3]}, "runs": {"text_more": ["lsh-4_ordinary"]}}
    params.write_text(OmegaConf.to_yaml(OmegaConf.merge(OmegaConf.load(params), lists)))
    done = typed("compose")
    assert (
        done.stderr == "error: runs.text_more: dvc.yaml has no stage train_text_more: add it as for the other lists\n"
    )
    graph = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
    for stage in ("train", "evaluate"):
        graph["stages"][f"{stage}_text_more"] = {}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(graph))
    monkeypatch.setattr(schema, "PROJECT", tmp_path)
    said = "error: runs.text_more: lsh-4_ordinary is listed in runs.text too, leave one of them\n"
    assert typed("compose").stderr == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("- lsh-2_reversible", "- lsh-2_reversibl", "error: runs must be named <data>_<attention>_"),
        (
            "- lsh-2_reversible",
            "- lsh-2_reversible_layers-1",
            "error: runs.duplication: lsh-2_reversible_layers-1 is spelled lsh-2_reversible\n",
        ),
        (
            "- lsh-4_ordinary",
            "- wikipedia_lsh-4_ordinary",
            "error: runs.text: leave out the data set of wikipedia_lsh-4_ordinary: lsh-4_ordinary (runs.text are on wikip",
        ),
        ("text: wikipedia", "text: photos", "error: text must be one of enwik8, wikipedia, got 'photos'\n"),
        ("text: wikipedia", "text: wikipedia2", "error: text must be one of enwik8, wikipedia, got 'wikipedia2'\n"),
        ("profile: cpu", "profile: gpu", "error: profile=gpu is no choice: profile must be one of cpu, "),
        (
            "runs:\n  duplication:",
            "runs:\n  duplicaton:",
            "error: runs.duplicaton must be named after its kind of data, duplication, text, images, as text_depth\n",
        ),
        ("  text:\n  - 1\n  - 2", "  text: []", "error: seeds.text must be a list of at least one, as [1], got []"),
        ("  - 1\n  - 2", "  - 2\n  - 1\n  - 2", "error: seeds.text: 2 is listed 2 times, leave one of them"),
        (
            "  - 1\n  - 2",
            "  - one",
            "error: params.yaml: seeds.text[0]: Value 'one' of type 'str' could not be converted to Integer\n",
        ),
        (
            "  - lsh-4_ordinary",
            "  - lsh-4_ordinary\n  - lsh-2_ordinary\n  - lsh-4_ordinary",
            "error: runs.text: lsh-4_ordinary is listed 2 times, leave one of them",
        ),
        (
            "  text:\n  - lsh-4_ordinary",
            "  text_pair:\n  - lsh-4_ordinary\n  text:\n  - lsh-4_ordinary",
            "error: seeds.text_pair must be a list of at least one, as [1], got []",
        ),
        (
            "samples:\n  text: []",
            "samples:\n  text:\n  - lsh-4_ordinary_seed-3",
            "error: samples.text must be a list of runs that are trained, as [lsh-4_ordinary_seed-1], got 'lsh-4_ordinary_se",
        ),
        ("\nseeds:", "\nseeds: [", "error: params.yaml is not YAML: while parsing a flow "),
        ("\nseeds:\n", "\nseeds: [1]\nold:\n", "error: params.yaml: seeds is by list: seeds.text=[1,2]\n"),
        ("steps_scale: 1.0", "steps_scale: 0", "error: trainer.steps_scale must be > 0 and finite, got 0.0"),
        ("steps_scale: 1.0", "steps_scale: .inf", "error: trainer.steps_scale must be > 0 and finite, got inf"),
    ],
)
def test_a_mistake_in_params_is_told_by_compose(
    params: Path, typed: Script, tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new, 1))
    done = typed("compose", f"root={tmp_path}")
    assert done.stderr.startswith(said)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
