"""One training step of every study of the profile `paper`: its widths, optimiser and scripts, on shorter sequences.

About four minutes on one core.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from project import Script
from safetensors import safe_open

from cli import schema
from reformer.bench.config import BENCHMARKS
from reformer.runs.listed import kind_of
from reformer.runs.name import RunSpec

pytestmark = pytest.mark.slow

PAPER = OmegaConf.load(schema.CONF / "profile" / "paper.yaml")
DATA = {"duplication": "duplication", "text": "enwik8", "images": "imagenet64"}
RUNS = [(DATA[kind_of(part)], run) for part in PAPER.runs for run in PAPER.runs[part]]
DRAWN = [f"{DATA[kind]}_{name}" for kind in PAPER.samples for name in PAPER.samples[kind]]
SHORTER = {
    "duplication": ("data.eval_sequences=1",),
    "enwik8": ("data.seq_len=1024", "data.eval_tokens=1024", "model.ff_chunk_size=512", "model.loss_chunk_size=512"),
    "imagenet64": ("data.side=16", "data.seq_len=768", "data.eval_tokens=768", "model.ff_chunk_size=512"),
}
ONE_STEP = (
    *("profile=paper", "data.batch_size=1", "trainer.max_steps=1", "trainer.num_workers=0"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.strategy=auto"),
)
FEWER = {
    "speed_by_length": ("benchmark.tokens=1024", "benchmark.lengths=[1024]"),
    "memory": (
        *("benchmark.lengths=[512]", "benchmark.depths=[2]", "benchmark.rounds=[2]", "benchmark.widths=[1024]"),
        *("benchmark.seq_len=512", "benchmark.model.ff_chunk_size=256", "benchmark.model.loss_chunk_size=256"),
    ),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small text and small images, prepared."""
    root, rng = tmp_path_factory.mktemp("root"), np.random.default_rng(3)
    contents = {
        "enwik8": ("tokens", lambda: rng.integers(0, 256, 5003, dtype=np.uint8)),
        "imagenet64": ("images", lambda: rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)),
    }
    for name, (unit, make) in contents.items():
        folder = root / "processed" / name
        folder.mkdir(parents=True)
        splits = {}
        for split in ("train", "val", "test"):
            array = make()
            file = f"{split}.bin" if unit == "tokens" else f"{split}.npy"
            if unit == "tokens":
                array.tofile(folder / file)
            else:
                np.save(folder / file, array)
            splits[split] = {"file": file, unit: len(array)}
        (folder / "meta.json").write_text(json.dumps({"name": name, "side": 16, "splits": splits}))
    return root


@pytest.mark.parametrize(("data", "run"), RUNS)
def test_every_run_takes_a_step_at_the_paper_s_widths(data: str, run: str, root: Path, script: Script) -> None:
    spec = RunSpec.parse(f"{data}_{run}")
    settings = (*ONE_STEP, *spec.overrides(), *SHORTER[data], f"root={root}")
    done = script("train", *settings)
    assert done.returncode == 0, done.stderr
    (folder,) = (root / "runs").iterdir()
    written = json.loads((folder / "train.json").read_text())
    named = RunSpec.parse(written["name"].removesuffix("_seed-1"))
    assert replace(named, others=()) == replace(spec, others=())
    assert {*spec.others, ("profile", "paper")} <= {*named.others}
    assert (written["steps"], written["d_model"]) == (1, 256 if data == "duplication" else 1024)
    assert math.isfinite(written["val"]["bits_per_dim"])
    with safe_open(folder / "weights.safetensors", "pt") as weights:
        assert all(weights.get_tensor(name).isfinite().all() for name in weights.keys())  # noqa: SIM118
    if f"{data}_{run}_seed-1" in DRAWN:
        done = script("generate", *settings, "generation.n_tokens=2")
        assert done.returncode == 0, done.stderr
        (written_samples,) = (root / "samples").iterdir()
        assert len(json.loads(written_samples.read_text())["samples"][0]["drawn"]) == 2
        written_samples.unlink()
    for path in folder.iterdir():  # all of them together would be gigabytes
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_measures_at_the_paper_s_widths(name: str, tmp_path: Path, script: Script) -> None:
    few = (f"root={tmp_path}", "benchmark.repeats=1", "benchmark.accelerator=cpu")
    done = script("benchmark", "profile=paper", f"benchmark={name}", *FEWER[name], *few)
    assert done.returncode == 0, done.stderr
    points = json.loads((tmp_path / "benchmarks" / f"{name}.json").read_text())["points"]
    assert points
    assert all(point["seconds_per_step"] > 0 for point in points)
