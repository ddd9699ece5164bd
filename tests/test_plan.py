"""The plan names what `dvc repro` would train, at any size, without data and without a GPU."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from project import Script

from cli import schema

PAPER = OmegaConf.load(schema.CONF / "profile" / "paper.yaml")
ONE_SEED = ("seeds.duplication=[1]", "seeds.images=[1]")
AT_PAPER_SIZE = ("profile=paper", "text=enwik8", "images=imagenet64")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_plan_of_the_paper_s_size_has_a_line_for_each_run_and_sums_them_up(script: Script, tmp_path: Path) -> None:
    rates = ("plan.teraflops=2", "plan.price_per_hour=0.5")
    done = script("plan", *AT_PAPER_SIZE, *rates, "seeds.text=[1,2]", *ONE_SEED, f"root={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    head, _, *lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert cells(head)[-3:] == ["devices", "device-hours", "price"]
    *runs, total = [dict(zip(cells(head), cells(line), strict=True)) for line in lines]
    data = {"duplication": "duplication", "text": "enwik8", "images": "imagenet64"}
    seeds = {"duplication": [1], "text": [1, 2], "images": [1]}
    listed = [f"{data[kind]}_{run}_seed-{n}" for kind in data for run in PAPER.runs[kind] for n in seeds[kind]]
    assert [run["run"] for run in runs] == listed
    run_on_text = next(run for run in runs if run["run"] == "enwik8_lsh-4_reversible_seed-1")
    assert tuple(run_on_text[key] for key in ("tokens a step", "steps", "tokens")) == (
        "524,288",
        "60,000",
        "31,457,280,000",
    )
    for key in ("tokens", "FLOPs", "device-hours", "price"):
        assert number(total[key]) == pytest.approx(sum(number(run[key]) for run in runs), rel=0.01)
    assert number(total["price"]) == pytest.approx(0.5 * number(total["device-hours"]), rel=0.01)
    assert number(run_on_text["device-hours"]) == pytest.approx(number(run_on_text["FLOPs"]) / 2e12 / 3600, rel=0.01)
    memory = next(key for key in run_on_text if key.startswith("GB: weights + gradients + "))
    parts = [number(part) for part in re.split(r" [+=] ", run_on_text[memory])]
    assert sum(parts[:-1]) == pytest.approx(parts[-1], abs=0.03)
    assert "at plan.teraflops=2, an assumption: none of these runs has been trained here." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_rate_that_cannot_be_is_refused(script: Script) -> None:
    done = script("plan", "plan.teraflops=0")
    assert done.stderr == "error: plan.teraflops must be > 0, got 0.0\n"
