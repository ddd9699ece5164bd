"""Weights are used only if they are those that the training wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_run

from reformer.evaluation.trained import trained_model, weights_of
from reformer.files import WEIGHTS_DIGEST, DataError, digest_of, write_json
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig
from reformer.runs.fingerprint import fingerprint, finished

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def run() -> RunConfig:
    """A run whose folder holds what a training leaves."""
    run = tiny_run("data")
    run.files.folder.mkdir(parents=True)
    save_file(ReformerLM(run.model).state_dict(), run.files.weights)
    record(run)
    return run


def record(run: RunConfig) -> dict[str, Any]:
    content = {"fingerprint": fingerprint(run), WEIGHTS_DIGEST: digest_of(run.files.weights)}
    write_json(run.files.train, content)
    return content


def test_weights_as_the_training_wrote_them_are_used(run: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights_of(run) == run.files.weights
    assert finished(run) == json.loads(run.files.train.read_text())
    assert capsys.readouterr().out == ""


def test_a_changed_byte_of_the_weights_is_refused(run: RunConfig) -> None:
    """The last byte, which no check of the file's form sees."""
    content = bytearray(run.files.weights.read_bytes())
    content[-1] ^= 1
    run.files.weights.write_bytes(content)
    load_file(run.files.weights)
    with pytest.raises(
        DataError, match=r"weights\.safetensors differs from the digest in train\.json: train the run again$"
    ):
        weights_of(run)


@pytest.mark.parametrize("how", ["changed", "gone", "no digest", "damaged record"])
def test_a_run_without_its_weights_is_not_finished(
    run: RunConfig, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    match how:
        case "changed":
            run.files.weights.write_bytes(b"other")
        case "gone":
            run.files.weights.unlink()
        case "no digest":
            write_json(run.files.train, {"fingerprint": fingerprint(run)})
        case "damaged record":
            run.files.train.write_text('{"fingerprint": ')
    assert finished(run) is None
    assert capsys.readouterr().out.startswith("tiny: not finished: data/runs/tiny/")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(run: RunConfig, value: float) -> None:
    state = load_file(run.files.weights)
    name, weight = max(state.items())
    weight.view(-1)[3] = value
    save_file(state, run.files.weights)
    record(run)
    with pytest.raises(DataError, match=rf"weights\.safetensors: {name} is not finite: train the run again"):
        trained_model(run.model, weights_of(run), torch.device("cpu"))


def test_a_copy_of_weights_without_their_record_is_used_with_a_word(
    run: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run.files.train.unlink()
    assert weights_of(run) == Path("data/runs/tiny/weights.safetensors")
    assert "without train.json, which has its digest, nothing tells whether it is intact" in capsys.readouterr().out
