"""The workspace and the report in W&B ask for what is logged, by its exact names; and save where one is logged in."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fake_results import results, write_results
from project import Script
from wandb_server import stand_in

from cli.schema import runs_of_params_yaml
from reformer.bench import benchmark
from reformer.bench.config import BenchmarkConfig
from reformer.runs.config import LoggerConfig
from reformer.studies import STUDIES
from reformer.training.callbacks import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # by wandb_workspaces
needs_extra = pytest.mark.skipif(not find_spec("wandb_workspaces"), reason="needs the extra workspace")
LOGGED = {f"{split}/{score}" for split in ("train", "val") for score in COLUMNS[-2:]} | {
    *("train/loss", "train/tokens_per_second", "train/peak_memory_MB", "trainer/global_step"),
    "test/evaluations",
    *(f"test/{attention}/accuracy" for attention in ("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1")),
    *(f"test/{attention}/bits_per_dim" for attention in ("trained", "off")),
    *("test/texts", "test/images"),
}
"""Names that tests/training/test_tracking.py reads back."""


def panels(node: Any) -> Iterator[dict[str, Any]]:
    """The settings of all panels, wherever in a specification they are."""
    if isinstance(node, dict):
        if "viewType" in node:
            yield node["config"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from panels(item)


def logged_by_benchmarks(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The names that benchmarks log, and the axis of each."""
    axes: dict[str, str] = {}

    class Run:
        def define_metric(self, name: str, step_metric: str = "") -> None:
            axes[name] = step_metric

        def log(self, _: object) -> None: ...

    monkeypatch.setattr(benchmark, "open_run", lambda *_: nullcontext(Run()))
    measured = {"attention": "lsh-4", "seconds_per_step": 1.0, "peak_bytes": 2.0}
    config = BenchmarkConfig(name="speed_by_length", lengths=[8])
    benchmark._log(config, [{"seq_len": 7, **measured}], LoggerConfig())
    config.name, measured = "memory", measured | {"reversible": True, "chunked": True}
    points = [{"axis": axis, axis: 3, **measured} for axis in ("seq_len", "n_layers", "n_hashes", "d_ff")]
    benchmark._log(config, points, LoggerConfig())
    return axes


@needs_extra
def test_every_panel_shows_names_that_are_logged_against_their_own_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    from reformer.report.display.workspace import workspace

    axes = logged_by_benchmarks(monkeypatch)
    shown = list(panels(json.loads(workspace("someone", "reformer")._to_model().model_dump_json(by_alias=True))))
    assert len(shown) == 15
    matched = set()
    for panel in shown:
        if regex := panel.get("metricRegex"):
            names = {name for name in axes if re.search(regex, name)}
            assert {axes[name] for name in names} == {panel["xAxis"]}, regex
            matched |= names
        elif "panel2Config" in panel:
            assert any(json.dumps(name) in json.dumps(panel) for name in LOGGED)  # the tables
        elif "mediaKeys" in panel:
            assert set(panel["mediaKeys"]) <= LOGGED
        else:
            assert set(panel["metrics"]) <= LOGGED
            assert panel.get("xAxis", "trainer/global_step") in LOGGED
    assert {name for name in axes if name.startswith("speed_by_length/lsh-4/")} <= matched
    assert len([name for name in matched if name.startswith("memory/")]) == 4


def made_up(name: str, job_type: str = "train", profile: str = "cpu") -> dict[str, Any]:
    """What a filter sees of a run."""
    return {
        "Config": {"variant": name}.__getitem__,
        "Metric": {"JobType": job_type, "Tags": profile}.__getitem__,
    }


@needs_extra
def test_each_study_shows_the_runs_that_are_compared_in_it_alone(tmp_path: Path) -> None:
    from wandb_workspaces.reports.v2 import H2, PanelGrid

    from reformer.report.display.workspace import SAMPLES, report

    text = ["wikipedia_lsh-2_reversible", "wikipedia_lsh-2_ordinary", "wikipedia_lsh-2_reversible_layers-6"]
    keys = ["wikipedia_full_reversible", "wikipedia_full_reversible_separate-qk"]
    images = [f"emoji_{attention}_reversible" for attention in ("full", "lsh-1", "lsh-8")]
    images += ["emoji_full_ordinary", "emoji_lsh-1_reversible_lr-0.01"]
    copies = ["duplication_full_reversible", "duplication_lsh-4_reversible"]
    listed = [*text, *keys, *images, *copies]
    write_results(tmp_path, listed)
    passing = [*listed, "wikipedia_lsh-4_reversible", "enwik8_lsh-2_reversible", "emoji_lsh-1_reversible_layers-2"]
    shown: dict[str, set[str]] = {}
    title = ""
    for block in report("someone", "reformer", results(tmp_path, listed)).blocks:
        if isinstance(block, H2):
            title, shown[block.text] = block.text, set()
        if isinstance(block, PanelGrid):
            for job_type in ("train", "evaluate", "generate", "benchmark"):
                for name in ["memory"] if job_type == "benchmark" else passing:
                    if eval(block.runsets[0].filters, made_up(name, job_type)):  # it reads as Python
                        shown[title].add(f"{job_type} {name}")
                    assert not eval(block.runsets[0].filters, made_up(name, job_type, "cpu-long"))

    def of(job_type: str, names: list[str]) -> set[str]:
        return {f"{job_type} {name}" for name in names}

    by_id = {study.id: shown.pop(f"{study.title} ({study.source})") for study in STUDIES}
    assert shown == {SAMPLES: of("generate", passing)}
    assert (
        by_id
        == {
            "duplication": of("train", copies) | of("evaluate", copies),
            "reversible_text": of("train", text[:2]),
            "reversible_images": of("train", [images[0], images[3]]),
            "shared_qk_text": of("train", keys),
            "shared_qk_images": set(),  # not among the runs
            "hash_rounds": of("train", images[:3]),
            "n_layers": of("train", [text[0], text[2]]),
            "lsh_off": of("evaluate", [*text, *images[1:3], images[4], copies[1]]),
            "speed_by_length": {"benchmark memory"},
            "memory": {"benchmark memory"},
        }
    )


@needs_extra
def test_both_are_saved_where_one_is_logged_in(script: Script, environment: dict[str, str], tmp_path: Path) -> None:
    runs = list(runs_of_params_yaml().seeds)
    write_results(tmp_path, runs)
    with stand_in() as server:
        environment |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online"}
        done = script("workspace", "logger.project=reformer", f"root={tmp_path}")
    assert done.returncode == 0, done.stderr
    sent = dict(zip(server.asked, map(json.loads, filter(None, server.bodies)), strict=False))
    spec = sent["upsertView"]["variables"]["spec"]
    assert len(list(panels(json.loads(spec)))) == 7 * 3 + 2 + 1 + 2 + 4 + 2
    assert all(json.dumps(run) in spec for run in runs)
    assert json.loads(sent["UpsertView2"]["variables"]["spec"])


def test_what_is_missing_is_told_in_one_line(script: Script, environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path)}
    environment.pop("WANDB_API_KEY", None)
    done = script("workspace")
    told = "is saved in your W&B account: run `wandb login` first"
    if not find_spec("wandb_workspaces"):
        told = "needs an extra: pip install -e '.[workspace]'"
    assert (done.returncode, done.stderr) == (1, f"error: a workspace {told}\n")
