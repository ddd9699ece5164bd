"""Every command in the README and the documentation exists, and those of pipelines/ run at tiny size."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from project import PROJECT, Script

from cli.schema import compose_usual
from reformer.files import META, write_json

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "data" / "README.md"])
PROGRAMS = ("python", "make", "dvc", "pip", "wandb")
MULTIRUN = "--multirun"
# The sizes that make a run take seconds. A command's own settings go after them, and win.
TINY = {
    "train": "data.seq_len=48 data.batch_size=2 data.eval_tokens=96 model.n_layers=1 model.d_model=8 model.d_ff=8 "
    "model.n_heads=1 model.d_head=8 model.chunk_len=8 trainer.max_steps=2 trainer.val_every=2 "
    "optimizer.warmup_steps=1 logger.mode=disabled",
    "benchmark": "benchmark.lengths=[64,128] benchmark.tokens=128 benchmark.repeats=1 benchmark.model.d_model=8 "
    "benchmark.model.d_ff=8 benchmark.model.n_heads=1 benchmark.model.d_head=8 logger.mode=disabled",
}
# What a test cannot run: it needs a download, other folders, an account, or more software.
NOT_RUN = ("download.py", "prepare.py", "workspace.py", "--against", "hydra/launcher", "hydra/sweeper", "experiment=")


def commands_of(page: Path) -> Iterator[str]:
    """The commands of a page: lines of its blocks of code, and code within a sentence."""
    text = page.read_text()
    lines = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    sentences = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    within = [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", sentences)]
    for code in [*(re.split(r"\s{2,}#", line)[0] for line in lines), *within]:
        for part in re.split(r" && ", code):
            if part.startswith(tuple(f"{program} " for program in PROGRAMS)):
                yield part.strip()


COMMANDS = sorted({command for page in PAGES for command in commands_of(page)})


def of(program: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(f"{program} ")]


SCRIPTS = [command for command in of("python") if command.startswith("python pipelines/")]


def test_the_pages_have_commands():
    assert len(SCRIPTS) > 12
    assert len(of("make")) > 6
    assert len(of("dvc")) > 4


@pytest.mark.parametrize("command", of("make"))
def test_every_target_is_in_the_makefile(command):
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in shlex.split(command)[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("command", of("pip"))
def test_every_extra_is_in_pyproject(command):
    extras = re.findall(r"\[(\w+)\]", command)
    text = (PROJECT / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in text for extra in extras)


@pytest.mark.parametrize("command", of("dvc"))
def test_every_setting_of_an_experiment_is_one(command):
    for word in shlex.split(command):
        if "=" in word:
            compose_usual([word.removeprefix("+")])


def with_one_value(word: str) -> str:
    """A setting of a sweep with the first of its values."""
    return word if re.search(r"[\[(]", word) else re.sub(r"=([^,]*),.*", r"=\1", word)


@pytest.mark.parametrize("command", [command for command in SCRIPTS if "=" in command])
def test_every_command_composes(command, typed):
    _, script, *words = shlex.split(command)
    if MULTIRUN in words:
        words = [with_one_value(word) for word in words if word != MULTIRUN and not word.startswith("hydra/")]
    if script.endswith("report.py"):
        return  # takes an option, and no settings
    done = typed(Path(script).stem, *words, "--cfg", "job")
    assert (done.returncode, done.stderr) == (0, "")
    composed = yaml.safe_load(done.stdout)
    assert composed["data"]["name"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a prepared text."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "processed" / "wikipedia"
    folder.mkdir(parents=True)
    prose = b"A command that stands in a README must do what the sentence beside it says. " * 40
    for split in ("train", "val", "test"):
        (folder / f"{split}.bin").write_bytes(prose)
    splits = {split: {"file": f"{split}.bin", "tokens": len(prose)} for split in ("train", "val", "test")}
    write_json(folder / META, {"name": "wikipedia", "kind": "text", "splits": splits})
    return root


def in_the_order_of_use(command: str) -> tuple[bool, bool, str]:
    """Evaluation and samples after the training that they need."""
    return ("train.py" not in command, MULTIRUN in command, command)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    sorted((c for c in SCRIPTS if not any(part in c for part in NOT_RUN)), key=in_the_order_of_use),
)
def test_every_command_runs(command, root, script: Script):
    _, name, *words = shlex.split(command)
    stem = Path(name).stem
    sizes = TINY["benchmark" if stem == "benchmark" else "train"].split()
    options = [word for word in words if word.startswith("--")]
    settings = [word for word in words if not word.startswith("--")]
    own = [] if "--help" in words or stem in ("compose", "plan") else [f"root={root}", *sizes]
    done: subprocess.CompletedProcess[str] = script(stem, *options, *own, *settings)
    assert done.returncode == 0, done.stderr
