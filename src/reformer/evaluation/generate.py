"""Draws the end of held-out sequences, one token after another, from what a trained network makes of all before."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wandb
from rich.console import Console
from rich.progress import track
from torch import Tensor

from reformer.data.batch import spread
from reformer.data.config import ImagesConfig, TextConfig
from reformer.data.feed import evaluation_batches
from reformer.evaluation.samples import Sample, as_images, as_text
from reformer.evaluation.trained import logged_use, trained_model, weights_of
from reformer.model.lsh_hash import count_buckets
from reformer.model.reformer_lm import ReformerLM
from reformer.settings import require, require_choice
from reformer.training.config import RunConfig
from reformer.training.device import choose_device
from reformer.training.tracking import table

COLUMNS = ("given", "drawn", "original")


def generate(run: RunConfig) -> dict[str, Any]:
    """Draws samples from a run's network, and writes samples.json beside its weights.

    Args:
        run: the settings that the weights were trained with; `generation` says what to draw.

    Returns:
        The content of samples.json: for each sequence the tokens that were given, drawn, and those of the original.

    Raises:
        SettingError: the data is no text and no images, or there are not so many tokens in a sequence.
        DataError: the run has not been trained.
    """
    wanted = run.generation
    require_choice("data.kind", run.data.kind, (TextConfig.kind, ImagesConfig.kind))
    require(wanted.n_tokens < run.data.seq_len, "generation.n_tokens", f"< {run.data.seq_len}", wanted.n_tokens)
    weights, device = weights_of(run), choose_device(run.trainer.accelerator)
    held_out = evaluation_batches(run.data, Path(run.root) / "processed" / run.data.name, wanted.split, run.seed)
    batch = held_out.sequences(spread(held_out.n_sequences, wanted.n_samples))
    n_given = run.data.seq_len - wanted.n_tokens
    n_buckets = run.model.n_buckets or count_buckets(run.data.seq_len, run.model.chunk_len)
    model = trained_model(replace(run.model, n_buckets=n_buckets), weights, device)  # those of the whole sequence
    torch.manual_seed(run.seed)
    start = time.perf_counter()
    first = batch.inputs[:, : n_given + 1].to(device)
    drawn = drawn_after(model, first, wanted.n_tokens, wanted.temperature, torch.Generator().manual_seed(run.seed))
    rate = drawn.numel() / (time.perf_counter() - start)
    samples = [
        Sample(original[:n_given], end, original[n_given:])
        for original, end in zip(batch.targets.tolist(), drawn.tolist(), strict=True)
    ]
    content = {"name": run.name, "kind": run.data.kind, "split": wanted.split, "temperature": wanted.temperature}
    content["samples"] = [asdict(sample) for sample in samples]
    (weights.parent / "samples.json").write_text(json.dumps(content) + "\n")
    if isinstance(run.data, TextConfig):
        print(*(f"--- {as_text(sample.given[-80:])}[{as_text(sample.drawn)}]" for sample in samples), sep="\n")
    print(f"{run.name}: {len(samples)} x {wanted.n_tokens} tokens drawn, {rate:,.0f} tokens/s -> {weights.parent}")
    _log(run, weights, samples)
    return content


@torch.inference_mode()
def drawn_after(
    model: ReformerLM, inputs: Tensor, n_tokens: int, temperature: float, generator: torch.Generator
) -> Tensor:
    """Draws tokens, each from the network's distribution after all before it, which it reads anew for each.

    Args:
        model: in evaluation mode; LSH attention hashes by the global generator.
        inputs: (B, L) int64, what it is given, led by the token before the sequence, as in training.
        n_tokens: tokens to draw, N.
        temperature: divides the logits.
        generator: on the CPU, for the draws: from the same logits they are the same on every device.

    Returns:
        (B, N) int64 on the CPU.

    Raises:
        SettingError: the sequence gets longer than the positions reach.
    """
    n_given, console = inputs.shape[1], Console(stderr=True)
    for _ in track(range(n_tokens), "draw tokens", console=console, transient=True, disable=not console.is_terminal):
        logits = model(inputs)[:, -1].float().cpu()
        token = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)
        inputs = torch.cat([inputs, token.to(inputs.device)], dim=1)
    return inputs[:, n_given:].cpu()


def _log(run: RunConfig, weights: Path, samples: list[Sample]) -> None:
    """Logs a table `<split>/texts`, a row for each, or pictures `<split>/images`, each beside what was given."""
    with logged_use(run, weights, "generate") as log:
        if isinstance(run.data, ImagesConfig):
            pictures = [np.concatenate(as_images(sample), axis=1) for sample in samples]
            caption = ", ".join(COLUMNS)
            log.log({f"{run.generation.split}/images": [wandb.Image(picture, caption=caption) for picture in pictures]})
        else:
            rows = [[as_text(part) for part in (sample.given, sample.drawn, sample.original)] for sample in samples]
            log.log({f"{run.generation.split}/texts": table(COLUMNS, rows)})
