"""Evaluation finds the weights of a run, gives them any attention, and tells the scores of each independent unit."""

import hashlib
import json
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reformer.data.batches.feed import evaluation_batches
from reformer.data.config import DataConfig, DuplicationConfig, ImagesConfig, SourceFile, TextConfig
from reformer.data.prepare.prepare import prepare
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
    assert json.loads((Path(trained.root) / "evaluations" / "tiny.json").read_text()) == content
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


def test_nothing_to_evaluate_gives_no_score_and_no_error(trained):
    trained.model.attention, trained.evaluation.attention = ["full"], ["off"]
    content = evaluate(trained)
    assert (content["n_tokens"], content["unit_tokens"], content["results"]) == (0, [], {})


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
    with pytest.raises(SettingError, match=r"^evaluation\.attention must be full, unmasked, local, .* got 'lsh-x'$"):
        evaluate(trained)


# Units


@pytest.fixture
def trained_on(tmp_path):
    """A run on other data, whose network attends fully, so that nothing is random."""

    def build(data: DataConfig) -> RunConfig:
        sizes = {"n_layers": 1, "d_model": 8, "d_ff": 10, "n_heads": 2, "d_head": 5}
        run = RunConfig(
            data=data,
            model=ReformerConfig(256, data.seq_len, attention=["full"], **sizes),
            evaluation=EvaluationConfig(["full", "local"]),
            name="tiny",
            root=str(tmp_path),
        )
        run.logger.mode = "disabled"
        torch.manual_seed(1)
        run.files.folder.mkdir(parents=True)
        save_file(ReformerLM(run.model).state_dict(), run.files.weights)
        return run

    return build


def scores_by_window(run: RunConfig) -> list[tuple[float, int, int]]:
    """Nats, hits and tokens of each scored window, one window at a time."""
    model = ReformerLM(run.model).eval()
    model.load_state_dict(load_file(run.files.weights))
    batches = evaluation_batches(run.data, run.processed, "test", run.seed)
    found = []
    for number in range(batches.n_sequences):
        inputs, targets, weights = batches.sequences(np.array([number]))
        with torch.no_grad():
            losses = model(inputs, targets)
        scored = weights[0] > 0
        found.append((losses.nll[0][scored].sum().item(), int(losses.correct[0][scored].sum()), int(scored.sum())))
    return found


def assert_totals_are_the_sums_of_units(content):
    assert sum(content["unit_tokens"]) == content["n_tokens"]
    for scores in content["results"].values():
        nats, hits = (sum(unit[column] for unit in scores["units"]) for column in (0, 1))
        assert len(scores["units"]) == len(content["unit_tokens"])
        assert scores["loss"] == pytest.approx(nats / content["n_tokens"], rel=1e-12)
        assert scores["bits_per_dim"] == pytest.approx(nats / content["n_tokens"] / log(2), rel=1e-12)
        assert scores["accuracy"] == pytest.approx(hits / content["n_tokens"], rel=1e-12)


def test_each_random_word_is_a_unit(trained):
    content = evaluate(trained)
    assert content["unit_tokens"] == [5.0] * 5
    assert_totals_are_the_sums_of_units(content)


@pytest.mark.parametrize("context", [0, 5])
def test_a_document_cut_into_several_windows_counts_once(trained_on, tmp_path, context):
    lengths = [50, 31, 67, 44, 23, 90, 61, 38, 49, 75, 56]
    text = b"".join(bytes([97 + n]) * (length - 2) + b"#\n" for n, length in enumerate(lengths))
    sha256 = hashlib.sha256(text).hexdigest()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "t").write_bytes(text)
    file = SourceFile("t", len(text), sha256)
    settings = {"document_end": "#\n", "whole_documents": True, "split": [0.2, 0.1, 0.7], "eval_context": context}
    run = trained_on(TextConfig(name="t", seq_len=12, batch_size=3, files=[file], **settings))
    prepare(run.data, tmp_path / "raw", run.processed)

    content, windows = evaluate(run), scores_by_window(run)
    test = (run.processed / "test.bin").read_bytes()
    assert content["n_tokens"] == len(test)
    assert_totals_are_the_sums_of_units(content)
    letters = "".join(page[0] * (len(page) + 2) for page in test.decode().split("#\n")[:-1])
    expected, begin = {}, 0
    for nats, hits, tokens in windows:
        unit = expected.setdefault(letters[begin + tokens // 2], [0.0, 0, 0])
        unit[0], unit[1], unit[2] = unit[0] + nats, unit[1] + hits, unit[2] + tokens
        begin += tokens
    assert len(windows) > 2 * len(expected) > 6
    assert content["unit_tokens"] == [tokens for _, _, tokens in expected.values()]
    for (nats, hits), (wanted, wanted_hits, _) in zip(
        content["results"]["full"]["units"], expected.values(), strict=True
    ):
        assert nats == pytest.approx(wanted, rel=1e-5)
        assert hits == wanted_hits


def test_each_image_is_a_unit(trained_on):
    images = np.random.default_rng(5).integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)
    run = trained_on(ImagesConfig(name="i", side=8, seq_len=192, batch_size=3))
    run.processed.mkdir(parents=True)
    np.save(run.processed / "test.npy", images)
    entry = {"file": "test.npy", "images": 7}
    (run.processed / "meta.json").write_text(json.dumps({"side": 8, "splits": {"test": entry}}))
    content = evaluate(run)
    assert content["unit_tokens"] == [192.0] * 7
    assert_totals_are_the_sums_of_units(content)
    for (nats, hits), window in zip(content["results"]["full"]["units"], scores_by_window(run), strict=True):
        assert (nats, hits) == (pytest.approx(window[0], rel=1e-5), window[1])
