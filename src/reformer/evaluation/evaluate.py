"""Scores of trained weights, with the attention of their training or another: no parameter depends on the attention."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reformer.data.batches.batch import Batch, EvaluationBatches
from reformer.data.batches.feed import evaluation_batches
from reformer.evaluation.trained import open_run_on_weights, trained_model, weights_of
from reformer.files import write_json
from reformer.machine import choose_device, use_threads
from reformer.model.attention_kinds import attention_name, hashes
from reformer.model.config import with_attention
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig
from reformer.tracking.metrics import SCORES, evaluation_score, evaluations
from reformer.tracking.wandb_run import table
from reformer.training.scores import scores_of, sums_by_sequence


def evaluate(run: RunConfig) -> dict[str, Any]:
    """Scores a run's weights with each attention in its settings, and writes evaluation.json.

    Args:
        run: the settings of the training, with an `evaluation` section.

    Returns:
        The content of evaluation.json: loss, bits_per_dim and accuracy on the split for each attention, and by document, image
        or random word (`units`) the sums of losses and of correct predictions, over `unit_tokens` tokens.

    Raises:
        SettingError: the network cannot use an attention.
        DataError: the run has not been trained.
    """
    use_threads(run.trainer.threads)
    weights = weights_of(run)
    device = choose_device(run.trainer.accelerator)
    batches = evaluation_batches(run.data, run.processed, run.evaluation.split, run.seed)
    results: dict[str, dict[str, Any]] = {}
    units = torch.zeros(0, 3, dtype=torch.float64)
    for attention in run.evaluation.attention:
        if attention == "off" and not hashes(run.model.attention):
            continue
        model = trained_model(with_attention(run.model, attention), weights, device)
        units = score(model, batches, run.seed)
        found = results[attention] = {**scores_of(units), "units": units[:, :2].tolist()}
        print(
            f"{run.name} with {attention}: {run.evaluation.split} {found['bits_per_dim']:.4f} bits/dim, "
            f"accuracy {found['accuracy']:.4f}",
            flush=True,
        )
    content: dict[str, Any] = {"name": run.name, "split": run.evaluation.split}
    content |= {"n_tokens": round(units[:, 2].sum().item()), "unit_tokens": units[:, 2].tolist(), "results": results}
    write_json(run.files.evaluation, content, indent=None)
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
def score(model: ReformerLM, batches: EvaluationBatches, seed: int) -> Tensor:
    """Sums the losses of all batches by document, image or random word.

    The hashing of a batch depends only on the seed and the number of the batch.

    Returns:
        (units, 3) float64: the sums of loss in nats, of correct predictions and of scored tokens.
    """
    device = next(model.parameters()).device
    units = torch.from_numpy(np.unique(batches.units(), return_inverse=True)[1])
    sums = torch.zeros(int(units.max()) + 1, 3, dtype=torch.float64)
    begin = 0
    for number, batch in enumerate(DataLoader(batches, batch_size=None)):
        torch.manual_seed(int(np.random.SeedSequence([seed, 2, number]).generate_state(1)[0]))
        batch = Batch(*(tensor.to(device) for tensor in batch))
        rows = sums_by_sequence(model(batch.inputs, batch.targets), batch)
        sums.index_add_(0, units[begin : begin + len(rows)], rows.cpu())
        begin += len(rows)
    return sums
