"""Evaluation finds the weights of a run, and gives them any attention."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reformer.data.config import DuplicationConfig
from reformer.evaluation.evaluate import evaluate
from reformer.model.config import ReformerConfig, with_attention
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import EvaluationConfig, RunConfig
from reformer.settings import SettingError


@pytest.fixture
def trained(tmp_path) -> RunConfig:
    """A run whose folder holds weights."""
    run = RunConfig(
        data=DuplicationConfig(name="duplication", seq_len=12, batch_size=3, eval_sequences=5),
        model=ReformerConfig(128, 12, n_layers=2, d_model=8, d_ff=10, n_heads=2, d_head=5, n_hashes=2, chunk_len=4),
        evaluation=EvaluationConfig(["trained", "lsh-2", "lsh-1", "full", "local", "off"]),
        name="tiny",
        root=str(tmp_path),
    )
    torch.manual_seed(1)
    model = ReformerLM(run.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)  # large enough for the ways of attending to differ
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    save_file(model.state_dict(), tmp_path / "runs" / "tiny" / "weights.safetensors")
    return run


def test_every_attention_gets_its_own_score_from_the_same_weights(trained):
    results = evaluate(trained)["results"]
    assert list(results) == trained.evaluation.attention
    assert results["trained"] == results["lsh-2"]
    losses = [results[name]["loss"] for name in trained.evaluation.attention[1:]]
    assert len(set(losses)) == len(losses)


def test_the_file_says_which_split_and_how_many_tokens(trained):
    content = evaluate(trained)
    assert json.loads((Path(trained.root) / "runs" / "tiny" / "evaluation.json").read_text()) == content
    assert (content["split"], content["n_tokens"]) == ("test", 5 * 5)  # the second w of five sequences 0w0w


def test_the_score_is_the_same_each_time_whatever_was_drawn_before(trained):
    first = evaluate(trained)
    torch.rand(3)
    trained.evaluation.attention.reverse()
    assert evaluate(trained)["results"] == first["results"]


def test_the_score_does_not_depend_on_the_size_of_the_batches_where_nothing_is_random(trained):
    trained.evaluation.attention = ["full"]
    three = evaluate(trained)["results"]["full"]["loss"]
    trained.data.batch_size = 2
    assert evaluate(trained)["results"]["full"]["loss"] == pytest.approx(three, rel=1e-6)


def test_a_network_without_lsh_layers_has_none_to_switch_off(trained):
    trained.model.attention = ["full", "local"]
    trained.evaluation.attention = ["trained", "off"]
    assert list(evaluate(trained)["results"]) == ["trained"]


def test_switching_off_leaves_the_other_layers(trained):
    trained.model.attention = ["local", "lsh"]
    assert with_attention(trained.model, "off").attention == ["local", "off"]


def test_a_run_that_was_not_trained_is_named(trained):
    trained.name = "other"
    with pytest.raises(SettingError, match=r"runs/other/weights\.safetensors is missing: train the run first"):
        evaluate(trained)


def test_weights_that_are_cut_off_are_told_in_one_line(trained):
    weights = Path(trained.root) / "runs" / "tiny" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(SettingError, match=r"weights\.safetensors cannot be read: train the run again$"):
        evaluate(trained)


def test_an_attention_that_there_is_not_is_refused(trained):
    trained.evaluation.attention = ["lsh-x"]
    with pytest.raises(SettingError, match=r"^evaluation\.attention must be full, local, .* got 'lsh-x'$"):
        evaluate(trained)
