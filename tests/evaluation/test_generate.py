"""What is drawn is what the network believes: held against the whole sequence read at once."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reformer.data.config import DuplicationConfig, ImagesConfig, TextConfig
from reformer.evaluation.generate import generate, generate_tokens
from reformer.evaluation.samples import BLANK, Sample, as_images, as_text
from reformer.model.config import ReformerConfig
from reformer.model.lsh_hash import count_buckets
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import GenerationConfig, RunConfig
from reformer.settings import SettingError

TEXT = np.random.default_rng(3).integers(97, 123, 50).astype(np.uint8)
IMAGES = np.random.default_rng(4).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)


def network(attention: list[str], max_seq_len: int) -> ReformerLM:
    """A network that is sure of what it believes, and attends far."""
    sizes = {"n_layers": 2, "d_model": 8, "d_ff": 10, "n_heads": 2, "d_head": 5, "n_hashes": 2, "chunk_len": 4}
    config = ReformerConfig(256, max_seq_len, attention=attention, **sizes)
    torch.manual_seed(1)
    model = ReformerLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model.eval()


def run_on(root: Path, data: TextConfig | ImagesConfig, splits: dict[str, object], **wanted: float) -> RunConfig:
    """A run with prepared data and weights."""
    processed = root / "processed" / data.name
    processed.mkdir(parents=True)
    TEXT.tofile(processed / "test.bin")
    np.save(processed / "test.npy", IMAGES)
    (processed / "meta.json").write_text(json.dumps({"side": 8, "splits": {"test": splits}}))
    model = network(["lsh"], data.seq_len)
    run = RunConfig(data, model.config, generation=GenerationConfig(**wanted), name="tiny", root=str(root))  # type: ignore[arg-type]
    run.logger.mode = "disabled"
    (root / "runs" / "tiny").mkdir(parents=True)
    save_file(model.state_dict(), root / "runs" / "tiny" / "weights.safetensors")
    return run


@pytest.fixture
def on_text(tmp_path: Path) -> RunConfig:
    data = TextConfig(name="a-text", seq_len=12, batch_size=3)  # type: ignore[arg-type]
    return run_on(tmp_path, data, {"file": "test.bin", "tokens": len(TEXT)}, n_samples=2, n_tokens=5)


@pytest.fixture
def on_images(tmp_path: Path) -> RunConfig:
    data = ImagesConfig(name="pictures", side=8, seq_len=192, batch_size=2)  # type: ignore[arg-type]
    return run_on(tmp_path, data, {"file": "test.npy", "images": len(IMAGES)}, n_samples=3, n_tokens=48)


def test_cold_draws_are_the_likeliest_tokens_of_the_whole_sequence_read_at_once():
    model = network(["full", "local"], max_seq_len=14)
    given = torch.randint(0, 256, (3, 6), generator=torch.Generator().manual_seed(2))
    drawn = generate_tokens(model, given, 8, temperature=1e-4, generator=torch.Generator())
    whole = torch.cat([given, drawn[:, :-1]], dim=1)
    assert torch.equal(drawn, model(whole).argmax(-1)[:, 5:])


def test_draws_are_as_frequent_as_the_network_believes():
    model = network(["full"], max_seq_len=3)
    given = torch.tensor([[4, 7]])
    drawn = generate_tokens(
        model, given.expand(4000, 2), 1, temperature=2.0, generator=torch.Generator().manual_seed(5)
    )
    believed = (model(given)[0, -1] / 2).softmax(-1)
    frequent = drawn.flatten().bincount(minlength=256) / 4000
    assert believed.max() > 0.1
    assert torch.allclose(frequent, believed, atol=0.03)


def test_one_seed_draws_the_same_another_does_not(on_text):
    first = generate(on_text)
    torch.rand(3)
    assert generate(on_text) == first
    on_text.seed = 2
    assert generate(on_text) != first


def test_the_file_holds_what_was_given_drawn_and_the_original_of_a_text(on_text):
    content = generate(on_text)
    assert json.loads((Path(on_text.root) / "samples" / "tiny.json").read_text()) == content
    windows = {TEXT[start : start + 12].tobytes() for start in range(0, 50, 12)}
    for sample in content["samples"]:
        assert (len(sample["given"]), len(sample["drawn"])) == (7, 5)
        assert bytes(sample["given"] + sample["original"]) in windows
    assert len(content["samples"]) == 2


def test_images_are_spread_over_the_split_and_their_last_part_is_drawn(on_images):
    samples = [Sample(**sample) for sample in generate(on_images)["samples"]]
    for number, sample in zip((0, 2, 4), samples, strict=True):
        given, drawn, original = as_images(sample)
        assert np.array_equal(original, IMAGES[number])
        assert np.array_equal(given[:6], IMAGES[number, :6])
        assert np.array_equal(drawn[:6], IMAGES[number, :6])
        assert (given[6:] == BLANK).all()
        assert drawn[6:].flatten().tolist() == sample.drawn


def test_more_than_a_sequence_is_refused(on_text):
    on_text.generation.n_tokens = 12
    with pytest.raises(SettingError, match=r"^generation\.n_tokens must be < 12, got 12$"):
        generate(on_text)


def test_a_run_that_was_not_trained_is_named(on_text):
    on_text.name = "other"
    with pytest.raises(SettingError, match=r"runs/other/weights\.safetensors is missing: train the run first"):
        generate(on_text)


def test_bytes_that_are_no_text_are_told_by_one_sign():
    assert as_text([72, 195, 169, 10, 0, 255, 46]) == "Hé\n��."


def test_a_part_of_a_sequence_is_hashed_into_the_buckets_of_the_whole(on_text, monkeypatch):
    seen = []

    def drawn(model: ReformerLM, inputs: torch.Tensor, n_tokens: int, *_: object) -> torch.Tensor:
        seen.append(model.config.n_buckets)
        return torch.zeros(len(inputs), n_tokens, dtype=torch.int64)

    monkeypatch.setattr("reformer.evaluation.generate.generate_tokens", drawn)
    generate(on_text)
    on_text.model.n_buckets = 8
    generate(on_text)
    assert seen == [count_buckets(12, 4), 8]


def test_symbols_are_neither_text_nor_image(on_text):
    on_text.data = DuplicationConfig(name="duplication", seq_len=12, batch_size=3)
    with pytest.raises(SettingError, match=r"^data\.kind must be one of text, images, got 'duplication'$"):
        generate(on_text)


def test_weights_of_other_settings_are_told_in_one_line(on_text):
    on_text.model.d_ff = 14
    with pytest.raises(
        SettingError, match=r"weights\.safetensors was trained with other settings: train the run again$"
    ):
        generate(on_text)


def test_a_text_that_was_drawn_is_printed(on_text, capsys):
    samples = generate(on_text)["samples"]
    printed = capsys.readouterr().out
    for sample in samples:
        assert f"--- {as_text(sample['given'])}[{as_text(sample['drawn'])}]" in printed
    assert printed.rstrip().endswith(f"tokens/s -> {on_text.files.samples}")
