"""A run of a second."""

from reformer.data.config import DuplicationConfig
from reformer.model.config import ReformerConfig
from reformer.runs.config import LoggerConfig, OptimizerConfig, RunConfig, TrainerConfig


def tiny_run(root: str, mode: str = "disabled", **trainer: object) -> RunConfig:
    return RunConfig(
        data=DuplicationConfig(name="duplication", seq_len=12, batch_size=3, eval_sequences=5),
        model=ReformerConfig(
            128, 12, n_layers=2, d_model=8, d_ff=10, n_heads=2, d_head=5, n_hashes=2, chunk_len=4, dropout=0.1
        ),
        optimizer=OptimizerConfig(warmup_steps=2),
        trainer=TrainerConfig(**{"max_steps": 5, "val_every": 2, "log_every": 1, "accelerator": "cpu"} | trainer),  # type: ignore[arg-type]
        logger=LoggerConfig(mode=mode),
        seed=7,
        name="tiny",
        root=root,
    )
