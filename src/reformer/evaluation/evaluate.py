"""Scores trained weights with the attention of their training or another: no parameter depends on the choice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from reformer.data.feed import evaluation_batches
from reformer.evaluation.trained import logged_use, trained_model, weights_of
from reformer.model.attention_name import attention_name, parse_attention
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.training.config import RunConfig
from reformer.training.device import choose_device
from reformer.training.scores import TokenSums
from reformer.training.tracking import table

SCORES = ("loss", "bits_per_dim", "accuracy")


def evaluate(run: RunConfig) -> dict[str, Any]:
    """Scores a run's weights once for each attention that its settings name, and writes evaluation.json beside them.

    Args:
        run: the settings that the weights were trained with; `evaluation` says what to do with them.

    Returns:
        The content of evaluation.json: for each attention loss, bits_per_dim and accuracy on the split.

    Raises:
        SettingError: the model cannot attend so.
        DataError: the run has not been trained.
    """
    weights = weights_of(run)
    device = choose_device(run.trainer.accelerator)
    batches = evaluation_batches(run.data, Path(run.root) / "processed" / run.data.name, run.evaluation.split, run.seed)
    results: dict[str, dict[str, float]] = {}
    n_tokens = 0
    for attention in run.evaluation.attention:
        if attention == "off" and "lsh" not in run.model.attention:
            continue
        model = trained_model(with_attention(run.model, attention), weights, device)
        sums = score(model, DataLoader(batches, batch_size=None), run.seed)
        results[attention], n_tokens = sums.scores(), round(sums.sums[2].item())
        found = results[attention]
        print(
            f"{run.name} with {attention}: {run.evaluation.split} {found['bits_per_dim']:.4f} bits/dim, "
            f"accuracy {found['accuracy']:.4f}",
            flush=True,
        )
    content = {"name": run.name, "split": run.evaluation.split, "n_tokens": n_tokens, "results": results}
    (weights.parent / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n")
    _log(run, weights, results)
    return content


def _log(run: RunConfig, weights: Path, results: dict[str, dict[str, float]]) -> None:
    """Logs the scores as `<split>/<attention>/<score>`, and as a table: those of several runs make the cross of Table 2."""
    trained, split = attention_name(run.model.attention, run.model.n_hashes), run.evaluation.split
    rows = [[trained, evaluated, *map(found.get, SCORES)] for evaluated, found in results.items()]
    scores = {f"{split}/{evaluated}/{name}": found[name] for evaluated, found in results.items() for name in SCORES}
    with logged_use(run, weights, "evaluate") as log:
        log.log({**scores, f"{split}/evaluations": table(["trained with", "evaluated with", *SCORES], rows)})


def with_attention(config: ReformerConfig, attention: str) -> ReformerConfig:
    """The configuration of the same network with another attention.

    Args:
        config: that of the training.
        attention: `trained`: as it is; `off`: without what the LSH layers add; else every layer's: full, local, lsh-N.
    """
    if attention == "trained":
        return config
    if attention == "off":
        return replace(config, attention=["off" if kind == "lsh" else kind for kind in config.attention])
    kinds, n_hashes = parse_attention(attention, "evaluation.attention")
    return replace(config, attention=kinds, n_hashes=n_hashes or config.n_hashes)


@torch.inference_mode()
def score(model: ReformerLM, batches: DataLoader[Any], seed: int) -> TokenSums:
    """Sums of the losses over all batches; the hashing of each batch depends on the seed and its number alone."""
    device = next(model.parameters()).device
    sums = TokenSums()
    for number, batch in enumerate(batches):
        torch.manual_seed(int(np.random.SeedSequence([seed, 2, number]).generate_state(1)[0]))
        batch = type(batch)(*(tensor.to(device) for tensor in batch))
        sums.add(model(batch.inputs, batch.targets), batch)
    return sums
