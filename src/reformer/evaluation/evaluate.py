"""Scores of trained weights, with the attention of their training or another: no parameter depends on the attention."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from reformer.data.batches.feed import evaluation_batches
from reformer.evaluation.trained import open_run_on_weights, trained_model, weights_of
from reformer.files import write_json
from reformer.machine import choose_device
from reformer.model.attention_kinds import attention_name, hashes
from reformer.model.config import with_attention
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig
from reformer.tracking.metrics import SCORES, evaluation_score, evaluations
from reformer.tracking.wandb_run import table
from reformer.training.scores import TokenSums


def evaluate(run: RunConfig) -> dict[str, Any]:
    """Scores a run's weights with each attention in its settings, and writes evaluation.json.

    Args:
        run: the settings of the training, with an `evaluation` section.

    Returns:
        The content of evaluation.json: loss, bits_per_dim and accuracy on the split for each attention.

    Raises:
        SettingError: the network cannot use an attention.
        DataError: the run has not been trained.
    """
    weights = weights_of(run)
    device = choose_device(run.trainer.accelerator)
    batches = evaluation_batches(run.data, run.processed, run.evaluation.split, run.seed)
    results: dict[str, dict[str, float]] = {}
    n_tokens = 0
    for attention in run.evaluation.attention:
        if attention == "off" and not hashes(run.model.attention):
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
    write_json(run.files.evaluation, content)
    _log(run, weights, results)
    return content


def _log(run: RunConfig, weights: Path, results: dict[str, dict[str, float]]) -> None:
    """Logs each score, and a table of them. W&B joins the tables of several runs into Table 2 of the paper."""
    trained, split = attention_name(run.model.attention, run.model.n_hashes), run.evaluation.split
    rows = [[trained, evaluated, *map(found.get, SCORES)] for evaluated, found in results.items()]
    scores = {
        evaluation_score(split, evaluated, name): found[name] for evaluated, found in results.items() for name in SCORES
    }
    with open_run_on_weights(run, weights, "evaluate") as opened:
        opened.log({**scores, evaluations(split): table(["trained with", "evaluated with", *SCORES], rows)})


@torch.inference_mode()
def score(model: ReformerLM, batches: DataLoader[Any], seed: int) -> TokenSums:
    """Sums the losses of all batches. The hashing of a batch depends only on the seed and the number of the batch."""
    device = next(model.parameters()).device
    sums = TokenSums()
    for number, batch in enumerate(batches):
        torch.manual_seed(int(np.random.SeedSequence([seed, 2, number]).generate_state(1)[0]))
        batch = type(batch)(*(tensor.to(device) for tensor in batch))
        sums.add(model(batch.inputs, batch.targets), batch)
    return sums
