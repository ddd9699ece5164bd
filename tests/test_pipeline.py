"""The whole graph, from the published files to the report, at a size of seconds, in a copy of this project."""

import ast
import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from project import PROJECT

STEPS = {"trainer": {"max_steps": 3, "val_every": 2}}
MODEL = {"n_layers": 1, "d_model": 12, "d_ff": 20, "n_heads": 2, "d_head": 6, "chunk_len": 4}
SIZES: dict[str, dict[str, Any]] = {
    "duplication": {"data": {"seq_len": 16, "batch_size": 2, "eval_sequences": 3}},
    "wikipedia": {"data": {"seq_len": 32, "batch_size": 2}, "generation": {"n_tokens": 5}},
    "photos": {"data": {"side": 8, "seq_len": 192, "batch_size": 2, "eval_tokens": 384}, "generation": {"n_tokens": 6}},
    "speed_by_length": {"benchmark": {"tokens": 32, "lengths": [16, 32], "attentions": ["lsh-2"], "model": MODEL}},
    "memory": {
        "benchmark": {
            "lengths": [16],
            "depths": [2],
            "rounds": [2],
            "widths": [20],
            "seq_len": 16,
            "model": {**MODEL, "ff_chunk_size": 8, "loss_chunk_size": 8},
        }
    },
}
PARAMS = {
    "profile": "tiny",
    "text": "wikipedia",
    "images": "photos",
    "trainer": {"steps_scale": 1.0},
    "seeds": {"duplication": [1], "text": [2], "images": [3]},
    "runs": {
        "duplication": ["lsh-2_reversible"],
        "text": ["lsh-2_reversible", "lsh-2_ordinary"],
        "images": ["full_reversible"],
    },
    "samples": {"text": ["lsh-2_reversible_seed-2"], "images": ["full_reversible_seed-3"]},
}
N_STAGES = 1 + 2 + 2 + 2 + 3 + 3 + 1 + 2 + 1


def write_yaml(path: Path, content: Any, head: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + yaml.safe_dump(content, sort_keys=False))


def published(path: Path) -> dict[str, Any]:
    return {"name": path.name, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def bring_data(project: Path) -> None:
    """Puts a small text and small photos where files brought by hand are looked for, in place of the published ones."""
    rng = np.random.default_rng(5)
    text = project / "data" / "raw" / "wikipedia" / "wikipedia.xml"
    text.parent.mkdir(parents=True)
    articles = [(256 * rng.random(43) ** 3).astype(np.uint8).tobytes() for _ in range(60)]
    text.write_bytes(b"".join(article + b"</page>" for article in articles))
    entry = published(text)
    file = {**entry, **{f"unpacked_{key}": value for key, value in entry.items()}}
    _replace_files(project / "conf" / "data" / "wikipedia.yaml", [file])
    photos = []
    for split in ("train", "val", "test"):
        photo = project / "data" / "raw" / "photos" / f"{split}.png"
        photo.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)).save(photo)
        photos.append({**published(photo), "split": split})
    _replace_files(
        project / "conf" / "data" / "photos.yaml", photos, n_images=dict.fromkeys(("train", "val", "test"), 59)
    )


def _replace_files(path: Path, files: list[dict[str, Any]], **settings: Any) -> None:
    write_yaml(path, {**yaml.safe_load(path.read_text()), "files": files, **settings})


class Project:
    """A copy of this project under git, in a folder with a space in its name, and dvc in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        listed = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PROJECT)
        for name in filter(None, listed.split("\0")):
            if (PROJECT / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, folder / name)
        bring_data(folder)
        for name, content in SIZES.items():
            size = content if "benchmark" in content else {**content, **STEPS, "model": MODEL}
            write_yaml(folder / "conf" / "profile" / "tiny" / f"{name}.yaml", size, "# @package _global_\n")
        write_yaml(folder / "conf" / "profile" / "tiny.yaml", {"profile": "tiny"}, "# @package _global_\n")
        write_yaml(folder / "params.yaml", PARAMS)
        self._git("init", "-q")
        self.commit()

    def commit(self) -> None:
        """Commits all that git does not ignore."""
        self._git("add", "-A")
        self._git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "all")

    def _git(self, *arguments: str, cwd: Path | None = None) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=cwd or self.folder, capture_output=True, text=True, check=True).stdout

    def changed(self) -> list[str]:
        """What git sees that is not committed."""
        return self._git("status", "--porcelain").splitlines()

    def dvc(self, *arguments: str) -> str:
        """Output of a dvc command, which must succeed."""
        done = subprocess.run(
            ["dvc", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self) -> list[str]:
        """Names of the stages that ran."""
        return [line.split("'")[1] for line in self.dvc("repro").splitlines() if line.startswith("Running stage")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a folder")


@pytest.mark.slow
def test_the_graph_runs_whole_then_reruns_exactly_what_changed(project: Path, environment: dict[str, str]) -> None:
    here = Project(project, environment)
    ran = here.repro()
    assert len(ran) == N_STAGES
    report = project / "data" / "report"
    claims = json.loads((report / "claims.json").read_text())
    assert (claims["profile"], sum(claims["counts"].values())) == ("tiny", len(claims["claims"]))
    page = (report / "index.html").read_text()
    assert "5 tokens generated after 27 given tokens of the test split" in page
    assert "6 tokens generated after 186 given tokens of the test split" in page
    assert here.changed() == ["?? dvc.lock"]

    assert "up to date" in here.dvc("status")
    assert here.repro() == []

    here.commit()
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("  - lsh-2_ordinary\n", "  - lsh-2_ordinary\n  - lsh-3_ordinary\n"))
    runs = project / "data" / "runs" / "text"
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/weights.safetensors")}
    assert len(before) == 2
    assert here.repro() == ["compose", "train_text", "evaluate_text", "generate", "report"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(runs.glob("*/weights.safetensors"))) == 3
    size = project / "conf" / "profile" / "tiny" / "duplication.yaml"
    size.write_text(size.read_text().replace("d_ff: 20", "d_ff: 28"))
    assert here.repro() == ["compose", "train_duplication", "evaluate_duplication", "report"]
    assert "up to date" in here.dvc("status")

    changed = json.loads(here.dvc("params", "diff", "--json"))["params.yaml"]
    assert list(changed) == ["runs.text"]
    assert "lsh-3_ordinary" in changed["runs.text"]["new"]
    compared = json.loads(here.dvc("metrics", "diff", "--all", "--json"))["data/report/metrics.json"]
    assert {"claims.reproduced", "text_bits_per_dim"} <= set(compared)
    assert all(isinstance(score[when], int | float) for score in compared.values() for when in ("old", "new"))
    here.dvc("plots", "diff")
    both = (project / "dvc_plots" / "index.html").read_text()
    drawn = re.search(r'"values": (\[.*?\])', both)
    assert drawn
    points = {(point["run"], point["rev"]) for point in json.loads(drawn.group(1))}
    assert points >= {("lsh-2_ordinary", "HEAD"), ("lsh-2_ordinary", "workspace"), ("lsh-3_ordinary", "workspace")}
    assert ("lsh-3_ordinary", "HEAD") not in points
    assert all(f"{revision}_data_report_figures_memory.png" in both for revision in ("HEAD", "workspace"))

    shown = json.loads(here.dvc("metrics", "show", "--json"))
    assert "claims" in shown[""]["data"]["data/report/metrics.json"]["data"]
    curves = (report / "curves.csv").read_text().splitlines()
    assert curves[0] == "data,run,seed,step,bits_per_dim,accuracy"
    assert {line.split(",")[1] for line in curves[1:]} >= {"lsh-3_ordinary", "full_reversible"}
    told = re.search("@dvc (exp show .*)", (project / "Makefile").read_text())
    assert told
    columns = here.dvc(*shlex.split(told.group(1)), "--csv").splitlines()[0].split(",")
    assert {"claims.reproduced", "text_bits_per_dim", "profile", "trainer.steps_scale"} <= set(columns)
    assert len(columns) < 25
    here.dvc("plots", "show")
    plots = (project / "dvc_plots" / "index.html").read_text()
    assert "bits per dimension, held out" in plots
    assert "figures_speed_by_length.png" in plots


# What a stage depends on

NO_RESULT = re.compile(r"src/reformer/(data/|tracking/)?[a-z_]+\.py")
"""Settings, checks, files and messages: the modules that lie beside the rooms, and the room that logs to W&B."""


def imported(paths: Iterable[str]) -> set[str]:
    """The package's files that a script's import statements lead to, those within functions included."""
    found: set[str] = set()
    todo = list(paths)
    while todo:
        path = todo.pop()
        if path in found or NO_RESULT.fullmatch(path):
            continue
        found.add(path)
        for node in ast.walk(ast.parse((PROJECT / path).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reformer"):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files = [f"src/{str(name).replace('.', '/')}.py" for name in names]
                todo += [file for file in files if (PROJECT / file).is_file()]
    return found


@pytest.mark.parametrize(
    ("stage", "script"),
    [
        *((name, name) for name in ("compose", "prepare", "simple_models", "benchmark", "report")),
        *(
            (f"{name}_{kind}", f"{name}_list")
            for name in ("train", "evaluate")
            for kind in ("duplication", "text", "images")
        ),
        ("generate", "generate_samples"),
    ],
)
def test_a_stage_depends_on_all_code_that_makes_its_result(stage: str, script: str) -> None:
    graph = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
    code = [dep for dep in graph["stages"][stage]["deps"] if dep.startswith(("src/", "pipelines/"))]
    assert all((PROJECT / dep).exists() for dep in code)
    needed = imported([f"pipelines/{script}.py"])
    missing = {path for path in needed if not any(path == dep or path.startswith(f"{dep}/") for dep in code)}
    assert missing == set()


def test_git_ignores_all_that_is_generated() -> None:
    graph = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
    outs = [next(iter(out)) if isinstance(out, dict) else out for s in graph["stages"].values() for out in s["outs"]]
    ignored = (PROJECT / ".gitignore").read_text().split()
    assert all(f"/{'/'.join(out.split('/')[:2])}/" in ignored for out in outs)


def test_the_makefile_lists_its_targets(environment: dict[str, str]) -> None:
    done = subprocess.run(["make"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    for target in ("repro", "test", "test-all", "lint", "bench"):
        assert f"  make {target} " in done.stdout
