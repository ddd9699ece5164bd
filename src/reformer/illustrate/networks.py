"""The networks and texts that notebooks look at: those of `dvc repro` where it has run, else small ones made on the spot."""

import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reformer.data.batches.feed import evaluation_batches, training_batches
from reformer.data.batches.windows import PreparedSplit
from reformer.data.config import DownloadedConfig, TextConfig
from reformer.data.fetch.download import download
from reformer.data.prepare.prepare import prepare
from reformer.evaluation.trained import trained_model
from reformer.files import META, Root
from reformer.model.config import with_attention
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig
from reformer.training.optimizer import build_optimizer
from reformer.training.scores import mean_loss

SMALL_DUPLICATION = (
    *("data=duplication", "data.seq_len=64", "data.n_symbols=31", "data.eval_sequences=64"),
    *("model.d_model=128", "model.d_ff=128", "model.d_head=32", "model.chunk_len=8", "optimizer.lr=0.003"),
)
"""Settings of the duplication task, as on a command line, at a size that is learned in a quarter of a minute."""


def fetch(run: RunConfig) -> None:
    """Downloads and prepares the data of a run unless that has been done. It prints nothing, the first time as later."""
    if isinstance(run.data, DownloadedConfig) and not (run.processed / META).exists():
        raw = Root(Path(run.root)).raw(run.data.name)
        with redirect_stdout(StringIO()):
            download(run.data, raw)
            prepare(run.data, raw, run.processed)


def passage(run: RunConfig, n_letters: int, number: int) -> Tensor:
    """Finds plain prose in the test text of a run.

    Args:
        run: a run on text.
        n_letters: letters of the prose, which begins a sentence and is the end of the result.
        number: which of the places that fit, counted from 0.

    Returns:
        As many tokens as the network reads, (1, seq_len) int64.
    """
    assert isinstance(run.data, TextConfig)
    text = PreparedSplit(run.data, run.processed, "test").array.tobytes()
    prose = re.compile(rb"[A-Z][a-z]+ [a-z ]{%d}" % n_letters)
    ends = [found.start() + n_letters for found in prose.finditer(text, run.data.seq_len)]
    return torch.tensor(list(text[ends[number] - run.data.seq_len : ends[number]]))[None]


def new_network(run: RunConfig) -> ReformerLM:
    """Builds the network of a run with its initial weights, which depend on the seed alone."""
    torch.manual_seed(run.seed)
    return ReformerLM(run.model)


def learn(model: ReformerLM, run: RunConfig, n_steps: int) -> Iterator[float]:
    """Trains a network for some steps with the batches and the optimiser of a run. It writes no files.

    Yields:
        The loss of each step, in nats.
    """
    batches = training_batches(run.data, run.processed, run.seed)
    optimizer, schedule = build_optimizer(run.optimizer, model.parameters(), n_steps)
    torch.manual_seed(run.seed)  # draws the rotations of LSH attention
    for step in range(n_steps):
        batch = batches[step]
        loss = mean_loss(model(batch.inputs, batch.targets), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), run.optimizer.clip_norm or float("inf"))
        optimizer.step()
        schedule.step()
        yield loss.item()


def network_of(run: RunConfig, n_steps: int) -> ReformerLM:
    """Loads the weights that `dvc repro` has trained, or trains the network for a few steps, and says which.

    Args:
        run: settings of a run of `dvc repro`.
        n_steps: steps if there are no weights. The learning rate is warmed up over half of them at most.
    """
    fetch(run)
    if run.files.weights.exists():
        print(f"{run.files.weights}: {run.trainer.steps:,} steps, trained by dvc repro")
        return trained_model(run.model, run.files.weights, torch.device("cpu"))
    model = new_network(run)
    run.optimizer.warmup_steps = min(run.optimizer.warmup_steps, max(1, n_steps // 2))
    losses = list(learn(model, run, n_steps))
    print(
        f"{run.name}: {n_steps} steps here, loss {losses[0]:.2f} -> {losses[-1]:.2f} nats (dvc repro trains for longer)"
    )
    return model.eval()


@torch.inference_mode()
def accuracy(model: ReformerLM, run: RunConfig, attention: str) -> float:
    """Measures the share of scored tokens of the test split that a network predicts with another attention.

    Args:
        model: a trained network.
        run: its settings.
        attention: `full`, `lsh-8`, `off`, as in the settings of an evaluation.
    """
    other = ReformerLM(with_attention(run.model, attention)).eval()
    other.load_state_dict(model.state_dict())
    torch.manual_seed(run.seed)  # draws the rotations of LSH attention
    sums = torch.zeros(2)
    for batch in DataLoader(evaluation_batches(run.data, run.processed, "test", run.seed), batch_size=None):
        correct = other(batch.inputs, batch.targets).correct
        sums += torch.stack([(correct * batch.weights).sum(), batch.weights.sum()])
    return float(sums[0] / sums[1])
