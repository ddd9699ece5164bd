"""Generation of the end of held-out sequences, token by token, with a trained network."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reformer.data.batches.batch import evenly_spaced
from reformer.data.batches.feed import evaluation_batches
from reformer.data.config import ImagesConfig, TextConfig
from reformer.evaluation.samples import Sample, as_text, image_grid
from reformer.evaluation.trained import open_run_on_weights, trained_model, weights_of
from reformer.files import write_json
from reformer.machine import choose_device
from reformer.model.lsh_hash import count_buckets
from reformer.model.reformer_lm import ReformerLM
from reformer.progress import ProgressBar
from reformer.runs.config import RunConfig
from reformer.settings import require, require_choice
from reformer.tracking.metrics import images, texts
from reformer.tracking.wandb_run import picture, table

COLUMNS = ("given", "drawn", "original")
"""Parts of a sample, as samples.json and W&B name them."""


def generate(run: RunConfig) -> dict[str, Any]:
    """Generates samples with a run's network, and writes samples.json.

    Args:
        run: the settings of the training, with a `generation` section.

    Returns:
        The content of samples.json: the given, the generated and the original tokens of each sequence.

    Raises:
        SettingError: the data is neither text nor images, or its sequences are too short.
        DataError: the run has not been trained.
    """
    settings, n_tokens = run.generation, run.generation.n_tokens
    require_choice("data.kind", run.data.kind, (TextConfig.kind, ImagesConfig.kind))
    require(n_tokens < run.data.seq_len, "generation.n_tokens", f"< {run.data.seq_len}", n_tokens)
    weights, device = weights_of(run), choose_device(run.trainer.accelerator)
    held_out = evaluation_batches(run.data, run.processed, settings.split, run.seed)
    batch = held_out.sequences(evenly_spaced(held_out.n_sequences, settings.n_samples))
    n_given = run.data.seq_len - n_tokens
    # A prefix is hashed into the buckets of the whole sequence, as in training.
    n_buckets = run.model.n_buckets or count_buckets(run.data.seq_len, run.model.chunk_len)
    model = trained_model(replace(run.model, n_buckets=n_buckets), weights, device)
    torch.manual_seed(run.seed)
    start = time.perf_counter()
    prefix, generator = batch.inputs[:, : n_given + 1].to(device), torch.Generator().manual_seed(run.seed)
    generated = generate_tokens(model, prefix, n_tokens, settings.temperature, generator)
    rate = generated.numel() / (time.perf_counter() - start)
    samples = [
        Sample(original[:n_given], end, original[n_given:])
        for original, end in zip(batch.targets.tolist(), generated.tolist(), strict=True)
    ]
    content = {"name": run.name, "kind": run.data.kind, "split": settings.split, "temperature": settings.temperature}
    content["samples"] = [asdict(sample) for sample in samples]
    write_json(run.files.samples, content, indent=None)
    if isinstance(run.data, TextConfig):
        print(*(f"--- {as_text(sample.given[-80:])}[{as_text(sample.drawn)}]" for sample in samples), sep="\n")
    print(f"{run.name}: generated {len(samples)} x {n_tokens} tokens, {rate:,.0f} tokens/s -> {run.files.samples}")
    _log(run, weights, samples)
    return content


@torch.inference_mode()
def generate_tokens(
    model: ReformerLM, inputs: Tensor, n_tokens: int, temperature: float, generator: torch.Generator
) -> Tensor:
    """Samples tokens one by one. Each token needs a forward pass over the whole sequence before it.

    Args:
        model: in evaluation mode; LSH attention hashes with the global random generator.
        inputs: (B, L) int64, the given tokens, shifted right by one as in training.
        n_tokens: number of tokens to generate, N.
        temperature: divides the logits.
        generator: on the CPU, so that equal logits give the same tokens on every device.

    Returns:
        (B, N) int64 on the CPU.

    Raises:
        SettingError: the sequence becomes longer than max_seq_len.
    """
    n_given = inputs.shape[1]
    with ProgressBar("generate", n_tokens, unit="tokens") as bar:
        for _ in range(n_tokens):
            logits = model(inputs)[:, -1].float().cpu()
            token = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)
            inputs = torch.cat([inputs, token.to(inputs.device)], dim=1)
            bar.advance()
    return inputs[:, n_given:].cpu()


def _log(run: RunConfig, weights: Path, samples: list[Sample]) -> None:
    """Logs a table with a row for each text, or a grid with a row for each image."""
    split = run.generation.split
    with open_run_on_weights(run, weights, "generate") as opened:
        if isinstance(run.data, ImagesConfig):
            opened.log({images(split): picture(image_grid(samples), ", ".join(COLUMNS))})
        else:
            rows = [[as_text(part) for part in (sample.given, sample.drawn, sample.original)] for sample in samples]
            opened.log({texts(split): table(COLUMNS, rows)})
