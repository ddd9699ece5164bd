"""A verdict rests on what a network learned: trained, evaluated and judged here, as it is and made worse on purpose."""

from pathlib import Path

import pytest
from fake_results import results

from reformer.data.config import DuplicationConfig
from reformer.evaluation.evaluate import evaluate
from reformer.model import dot_product
from reformer.model.config import ReformerConfig
from reformer.model.unit_length import to_unit_length
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NOT_REPRODUCED, REPRODUCED, judge
from reformer.runs.config import EvaluationConfig, LoggerConfig, OptimizerConfig, RunConfig, TrainerConfig
from reformer.training.train import train

NAME = "duplication_full_reversible"
SEEDS = (1, 2, 3)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def verdict_on_copying(root: str) -> str:
    """Trains networks that learn to copy |w| = 15 in a second, with three seeds, evaluates and judges them."""
    for seed in SEEDS:
        train_and_evaluate(root, seed)
    claim = next(claim for claim in CLAIMS if claim.id == "copy_full")
    return judge(claim, results(Path(root), [NAME], SEEDS)).verdict


def train_and_evaluate(root: str, seed: int) -> None:
    data = DuplicationConfig(
        name="duplication", n_symbols=20, vocab_size=21, seq_len=32, batch_size=16, eval_sequences=24
    )
    model = ReformerConfig(
        21,
        32,
        n_layers=1,
        d_model=40,
        d_ff=30,
        n_heads=1,
        d_head=32,
        attention=["full"],
        positions="learned",
        embedding_std=0.02,
    )
    run = RunConfig(
        data=data,
        model=model,
        optimizer=OptimizerConfig(lr=2e-3, warmup_steps=20),
        trainer=TrainerConfig(max_steps=100, val_every=100, accelerator="cpu"),
        evaluation=EvaluationConfig(["full", "lsh-8"]),
        logger=LoggerConfig(mode="disabled"),
        name=f"{NAME}_seed-{seed}",
        part="duplication",
        seed=seed,
        root=root,
    )
    train(run, "a command")
    evaluate(run)


def test_copying_with_full_attention_is_reproduced_and_with_logits_scaled_by_an_eighth_it_is_not(monkeypatch):
    assert verdict_on_copying("as-it-is") == REPRODUCED
    # Of the keys: the logits' only scale where queries and keys are shared.
    monkeypatch.setattr(dot_product, "to_unit_length", lambda q: to_unit_length(q) / 8)
    assert verdict_on_copying("worse") == NOT_REPRODUCED
