"""What W&B is told, read back from its own files; and that its network never costs a run."""

import hashlib
import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from PIL import Image
from safetensors.torch import save_file
from tiny import tiny_run
from wandb_server import stand_in

from reformer.bench import benchmark
from reformer.bench.config import BenchmarkConfig
from reformer.data.config import ImagesConfig, TextConfig
from reformer.evaluation.evaluate import evaluate
from reformer.evaluation.generate import generate
from reformer.evaluation.samples import as_text
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import GenerationConfig, LoggerConfig, RunConfig
from reformer.tracking import wandb_run
from reformer.tracking.artifacts import LONGEST, _artifact_name
from reformer.tracking.wandb_run import open_run, settings_of, table, tags_of
from reformer.training.train import train

pytestmark = pytest.mark.usefixtures("own_folder")

FILES = ["curve.csv", "environment.json", "train.json", "weights.safetensors"]


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    """All records of a kind that an offline run holds."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", folder]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return [record[kind] for record in map(json.loads, out.stdout.splitlines()) if record["type"] == kind]


def offline_run(job_type: str) -> Path:
    (folder,) = (
        path for path in Path("wandb").glob("offline-run-*") if records(path, "run")[0]["job_type"] == job_type
    )
    return folder


def on_text() -> RunConfig:
    """A tiny run on a tiny text, prepared as the stage does it."""
    run = tiny_run("data", "offline")
    run.data = TextConfig(name="letters", seq_len=12, batch_size=3)
    run.model.vocab_size = 256
    run.name, run.logger.tags = "letters_lsh-2_reversible_seed-7", ["mine"]
    run.evaluation.attention = ["full", "lsh-3"]
    folder = Path("data/processed/letters")
    folder.mkdir(parents=True)
    splits = {}
    for split, n in (("train", 200), ("val", 50), ("test", 60)):
        (folder / f"{split}.bin").write_bytes(bytes(torch.randint(97, 123, (n,), dtype=torch.uint8).tolist()))
        splits[split] = {"file": f"{split}.bin", "tokens": n}
    (folder / "meta.json").write_text(json.dumps({"name": "letters", "kind": "text", "splits": splits}))
    return run


def test_what_a_training_and_its_evaluation_log():
    run = on_text()
    train(run, "")
    scores = evaluate(run)["results"]
    of_training, of_evaluation = offline_run("train"), offline_run("evaluate")

    for folder in (of_training, of_evaluation):
        assert folder.name.partition("-run-")[2][16:].startswith("letters_lsh-2_reversible_seed-7-")  # in lists of runs
        (about,) = records(folder, "run")
        assert (about["display_name"], about["run_group"], about["project"]) == (run.name, "letters", "reformer")
        assert about["tags"] == ["letters", "lsh-2", "reversible", "mine"]
        config = about["config"]["update"]
        assert (config["variant"], config["attention"]) == ("letters_lsh-2_reversible", "lsh-2")
        assert (config["seed"], config["model"]["n_hashes"], config["trainer"]["max_steps"]) == (7, 2, 5)
        assert records(folder, "exit")[0]["exit_code"] == 0

    history = [record["item"] for record in records(of_training, "history")]
    names = {name for item in history for name in item if not name.startswith("_")}
    assert names == {
        *("epoch", "trainer/global_step", "train/loss", "train/bits_per_dim", "train/accuracy"),
        *("val/bits_per_dim", "val/accuracy", "train/tokens_per_second", "train/peak_memory_MB"),
    }
    assert [item["trainer/global_step"] for item in history if "val/bits_per_dim" in item] == [2, 4, 5]
    assert [item["trainer/global_step"] for item in history if "train/loss" in item] == list(range(5))
    last = json.loads(Path("data/runs", run.name, "train.json").read_text())["val"]
    assert history[-1]["val/bits_per_dim"] == last["bits_per_dim"]
    axes = {metric.get("glob_name"): metric.get("step_metric") for metric in records(of_training, "metric")}
    assert axes == {None: None, "train/*": "trainer/global_step", "val/*": "trainer/global_step"}

    (of_test,) = (record["item"] for record in records(of_evaluation, "history"))
    for attention in ("full", "lsh-3"):
        for score in ("loss", "bits_per_dim", "accuracy"):
            assert of_test[f"test/{attention}/{score}"] == scores[attention][score]
    (shown,) = of_evaluation.glob("files/media/table/test/*.json")
    assert json.loads(shown.read_text()) == {
        "columns": ["trained with", "evaluated with", "loss", "bits_per_dim", "accuracy"],
        "data": [
            ["lsh-2", name, *(found[key] for key in ("loss", "bits_per_dim", "accuracy"))]
            for name, found in scores.items()
        ],
    }


def test_texts_that_are_drawn_are_a_table():
    run = on_text()
    train(run, "")
    run.generation = GenerationConfig(n_samples=2, n_tokens=4)
    samples = generate(run)["samples"]
    folder = offline_run("generate")
    assert records(folder, "run")[0]["display_name"] == run.name
    (shown,) = folder.glob("files/media/table/test/texts*.json")
    rows = [[as_text(sample[part]) for part in ("given", "drawn", "original")] for sample in samples]
    assert json.loads(shown.read_text()) == {"columns": ["given", "drawn", "original"], "data": rows}


def test_images_that_are_drawn_stand_between_what_was_given_and_the_original():
    run = tiny_run("data", "offline")
    run.data = ImagesConfig(name="noise", side=8, seq_len=192, batch_size=2)
    run.model = replace(run.model, vocab_size=256, max_seq_len=192)
    run.generation = GenerationConfig(n_samples=1, n_tokens=3)
    (processed := Path("data/processed/noise")).mkdir(parents=True)
    np.save(processed / "test.npy", np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8))
    meta = {"side": 8, "splits": {"test": {"file": "test.npy", "images": 3}}}
    (processed / "meta.json").write_text(json.dumps(meta))
    (weights := Path("data/runs/tiny/weights.safetensors")).parent.mkdir(parents=True)
    save_file(ReformerLM(run.model).state_dict(), weights)
    (sample,) = generate(run)["samples"]
    folder = offline_run("generate")
    (shown,) = folder.glob("files/media/images/test/images*.png")
    drawn = np.asarray(Image.open(shown))[2:10, 12:20]  # borders of two pixels
    assert drawn.flatten().tolist() == sample["given"] + sample["drawn"]


def test_a_chain_of_artifacts_leads_from_the_data_to_the_weights_to_their_evaluation():
    run = on_text()
    train(run, "")
    evaluate(run)
    data, weights = records(offline_run("train"), "artifact")
    assert (data["type"], data["name"], data.get("use_after_commit")) == ("dataset", "letters", True)
    contents = {entry["path"]: Path(entry["local_path"]) for entry in data["manifest"]["contents"]}
    assert json.loads(contents["sha256.json"].read_text()) == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path("data/processed/letters").glob("*.bin"))
    }
    assert set(contents) == {"meta.json", "sha256.json"}  # not the data itself
    assert (weights["type"], weights["name"], weights.get("use_after_commit")) == ("model", run.name, None)
    (copy,) = (Path(entry["local_path"]) for entry in weights["manifest"]["contents"])
    assert copy.read_bytes() == Path("data/runs", run.name, "weights.safetensors").read_bytes()
    assert json.loads(weights["metadata"]) == json.loads(Path("data/runs", run.name, "train.json").read_text())
    again, same, *_ = records(offline_run("evaluate"), "artifact")
    assert (again["digest"], again["name"], again["use_after_commit"]) == (weights["digest"], run.name, True)
    assert (same["digest"], same["name"], same["use_after_commit"]) == (data["digest"], "letters", True)


def test_runs_that_differ_in_their_seed_only_share_what_they_are_grouped_by():
    def grouped_by(seed: int, n_layers: int) -> dict[str, str]:
        run = tiny_run("data")
        run.seed, run.model.n_layers, run.name, run.evaluation.attention = (
            seed,
            n_layers,
            f"a_seed-{seed}",
            [f"lsh-{seed}"],
        )
        return {key: settings_of(run)[key] for key in ("variant", "settings")}

    assert grouped_by(1, 2) == grouped_by(12, 2)
    assert grouped_by(1, 2)["variant"] == grouped_by(1, 3)["variant"] == "a"
    assert grouped_by(1, 2)["settings"] != grouped_by(1, 3)["settings"]


def test_names_of_artifacts_are_allowed_and_differ():
    assert _artifact_name("wikipedia_lsh-4_reversible_seed-1") == "wikipedia_lsh-4_reversible_seed-1"
    names = ["a+b", "a-b", "a b", "x" * 200, "x" * 201]
    allowed = {_artifact_name(name) for name in names}
    assert len(allowed) == len(names)
    for name in allowed:
        assert len(name) <= LONGEST
        wandb.Artifact(name, "model")


def test_a_sweep_s_group_goes_before_the_data_set_s():
    with open_run(LoggerConfig(mode="offline", group="a sweep"), "a", "b", "train", {}):
        pass
    assert records(offline_run("train"), "run")[0]["run_group"] == "a sweep"


def test_a_table_may_be_empty():
    assert table(["a", "b"], []).data == []


def test_an_address_with_a_password_is_not_logged():
    run = tiny_run("data")
    run.data = TextConfig(name="text", seq_len=12, mirror="https://user:secret@host")
    assert "secret" not in json.dumps(settings_of(run))


def test_tags_tell_separate_queries_and_keys_and_ordinary_residuals():
    run = tiny_run("data")
    assert tags_of(run) == ["duplication", "lsh-2", "reversible"]
    run.model.shared_qk, run.model.reversible, run.model.attention = False, False, ["full"]
    assert tags_of(run) == ["duplication", "full", "ordinary", "separate-qk"]


def test_the_profile_and_the_experiment_are_tags(script):
    shown = script("train", "profile=cpu-long", "experiment=hash_rounds", "--cfg=job", "--package=logger", "--resolve")
    assert "tags:\n- cpu-long\n- hash_rounds\n" in shown.stdout


@pytest.mark.slow
def test_a_run_that_params_lists_is_logged_with_the_studies_that_compare_it(script, environment):
    environment["WANDB_MODE"] = "offline"
    sizes = ["data.seq_len=32", "data.batch_size=2", "data.eval_sequences=3", "trainer.max_steps=1"]
    sizes += ["model.n_layers=1", "model.d_model=16", "model.d_ff=8", "model.chunk_len=4"]
    places = [f"root={Path('data').absolute()}", f"logger.dir={Path('wandb').absolute()}"]
    done = script("train", "data=duplication", "name=duplication_lsh-4_reversible_seed-1", *sizes, *places)
    assert done.returncode == 0, done.stderr
    (about,) = records(offline_run("train"), "run")
    assert about["tags"] == ["duplication", "lsh-4", "reversible", "cpu", "lsh_off"]


def test_without_a_key_a_run_is_logged_offline_and_says_how_to_look_at_it(capfd):
    train(tiny_run("data", "auto"), "")
    (folder,) = Path("wandb").glob("offline-run-*")
    out, err = capfd.readouterr()
    assert out.splitlines()[0] == (
        f"wandb: offline -> {folder} (show it with `wandb leet run`, upload it with `wandb sync`)"
    )
    assert err == ""


@pytest.mark.parametrize(
    "error", [wandb.errors.CommError, wandb.errors.AuthenticationError, wandb.errors.UsageError, ValueError]
)
def test_a_network_that_fails_at_the_start_does_not_cost_the_run(monkeypatch, capfd, error):
    begin = wandb.init

    def init(mode, **options):
        if mode == "online":
            raise error("no such host\nsecond line")
        return begin(mode=mode, **options)

    monkeypatch.setattr(wandb, "init", init)
    with wandb_run.lightning_logger(tiny_run("data", mode="online")) as logger:
        assert logger is not None
    assert capfd.readouterr().out.startswith("wandb: no such host: this run is logged offline\nwandb: offline ->")


def test_a_run_that_fails_ends_its_wandb_run_as_failed():
    with pytest.raises(KeyError), open_run(LoggerConfig(mode="offline"), "a", "b", "train", {}):
        raise KeyError
    assert wandb.run is None
    assert records(offline_run("train"), "exit")[0]["exit_code"] == 1


def test_what_wandb_fails_at_is_told_and_forgiven(capsys):
    with wandb_run.wandb_errors_ignored():
        raise ConnectionResetError("Connection lost\nmore")
    with wandb_run.wandb_errors_ignored():
        raise RuntimeError
    assert capsys.readouterr().out == "wandb: Connection lost: not logged\nwandb: RuntimeError: not logged\n"


def test_a_service_that_dies_costs_neither_an_evaluation_nor_a_benchmark(monkeypatch, capfd):
    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError("Connection lost")

    run = on_text()
    train(run, "")
    monkeypatch.setattr(wandb.Run, "log", fail)
    monkeypatch.setattr(wandb.Run, "define_metric", fail)
    assert set(evaluate(run)["results"]) == {"full", "lsh-3"}
    point = {"reversible": True, "n_layers": 2, "seconds_per_step": 1.0, "peak_bytes": 2.0}
    benchmark._log(BenchmarkConfig(name="million"), [point], LoggerConfig(mode="offline"))
    assert capfd.readouterr().out.count("wandb: Connection lost: not logged") == 2


def test_what_a_benchmark_logs_is_drawn_against_its_own_axis():
    points = [
        {"attention": attention, "seq_len": length, "seconds_per_step": seconds, "peak_bytes": 3e6}
        for attention, length, seconds in (("full", 128, 0.5), ("full", 256, 1.5), ("lsh-2", 128, 0.25))
    ]
    skipped = {"attention": "lsh-2", "seq_len": 256, "skipped": "needs more memory than there is"}
    benchmark._log(BenchmarkConfig("speed_by_length", lengths=[128]), [*points, skipped], LoggerConfig(mode="offline"))
    folder = offline_run("benchmark")
    (about,) = records(folder, "run")
    assert (about["run_group"], about["tags"]) == ("speed_by_length", ["speed_by_length"])
    logged_points = [record["item"] for record in records(folder, "history")]
    axis = "speed_by_length/seq_len"
    assert [(item[axis], item.get("speed_by_length/full/seconds_per_step")) for item in logged_points] == [
        (128, 0.5),
        (256, 1.5),
        (128, None),
    ]
    assert logged_points[2]["speed_by_length/lsh-2/seconds_per_step"] == 0.25
    assert logged_points[2]["speed_by_length/lsh-2/peak_MB"] == 3
    axes = {metric["name"]: metric.get("step_metric") for metric in records(folder, "metric")}
    curves = {
        f"speed_by_length/{kind}/{what}" for kind in ("full", "lsh-2") for what in ("seconds_per_step", "peak_MB")
    }
    assert axes == {axis: None, **dict.fromkeys(curves, axis)}


def trained_online(folder: Path, url: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Trains in a process of its own, whose patience is 3 seconds."""
    script = folder / "script.py"
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        f"os.environ |= {{'WANDB_BASE_URL': {url!r}, 'WANDB_API_KEY': '0' * 40}}\n"
        "from tiny import tiny_run\nfrom reformer.training import train\nfrom reformer.tracking import wandb_run\n"
        "wandb_run.TIMEOUT = 3\n"
        "train.train(tiny_run('data', 'auto'), '')\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=200)
    return done, time.monotonic() - begin


@pytest.mark.slow
def test_a_network_that_works_is_given_everything_and_the_run_waits_for_it(tmp_path):
    with stand_in() as server:
        done, _ = trained_online(tmp_path, server.url)
    assert done.returncode == 0, done.stderr
    assert {"UpsertBucket", "CreateArtifact", "/upload/wandb-summary.json"} <= set(server.asked)
    assert "not logged" not in done.stdout


@pytest.mark.slow
def test_a_network_that_refuses_makes_the_run_an_offline_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done, seconds = trained_online(tmp_path, url)
    assert done.returncode == 0, done.stderr
    assert seconds < 60
    assert sorted(path.name for path in Path("data/runs/tiny").iterdir()) == FILES
    assert list(Path("wandb").glob("offline-run-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    ["UpsertBucket", "Viewer", "CreateArtifact", "/file_stream", "CreateRunFiles", "/upload/wandb-summary.json"],
)
def test_a_network_that_dies_at_any_time_costs_neither_the_run_nor_much_time(tmp_path, first):
    with stand_in() as server:
        server.silent_from = first
        done, seconds = trained_online(tmp_path, server.url)
        assert server.silent.is_set()
    assert done.returncode == 0, done.stderr
    assert seconds < 90
    assert sorted(path.name for path in Path("data/runs/tiny").iterdir()) == FILES
    assert "wandb: " in done.stdout  # what became of the record
