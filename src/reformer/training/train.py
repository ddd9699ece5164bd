"""One training run, from its settings to its folder."""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from safetensors.torch import save_file

from reformer.model.attention_name import attention_name
from reformer.model.reformer_lm import ReformerLM
from reformer.training.artifacts import log_weights, use_data
from reformer.training.callbacks import Curve, ShowProgress
from reformer.training.checkpoints import checkpoint_folder, readable
from reformer.training.config import RunConfig
from reformer.training.data_module import LanguageDataModule
from reformer.training.device import choose_device
from reformer.training.environment import environment, peak_bytes
from reformer.training.fingerprint import fingerprint
from reformer.training.lit_module import LitLanguageModel
from reformer.training.tracking import tracked

WEIGHTS = "weights.safetensors"


def train(run: RunConfig, command: str) -> dict[str, Any]:
    """Trains a network, or goes on where an interrupted run of the very same settings stopped.

    Writes into `<root>/runs/<name>/`: train.json (size and held-out scores), curve.csv (scores by step) and
    weights.safetensors, the same bytes each time on the same machine; and environment.json (where, when, how fast).

    Args:
        run: all settings.
        command: what was typed, for the record.

    Returns:
        The content of train.json.

    Raises:
        SettingError: the settings do not fit the prepared data.
    """
    _quieten()
    processed = Path(run.root) / "processed" / run.data.name
    data = LanguageDataModule(run.data, processed, run.seed, run.trainer.accumulate, run.trainer.num_workers)
    data.check()
    torch.manual_seed(run.seed)
    module = LitLanguageModel(ReformerLM(run.model), run.optimizer, run.seed)
    tokens_per_step = run.data.batch_size * run.trainer.accumulate * run.data.seq_len
    curve, progress = Curve(tokens_per_step), ShowProgress(run.name, tokens_per_step)
    checkpoints = checkpoint_folder(run, processed)
    # After a look at the held-out split, so that its scores are in the checkpoint too.
    checkpoint = ModelCheckpoint(checkpoints, filename="last", every_n_epochs=1, save_on_train_epoch_end=False)
    n_bytes = sum(parameter.nbytes for parameter in module.parameters())
    with tracked(run, upload=n_bytes) as logger:
        if logger is not None:
            use_data(logger.experiment, processed)
        trainer = _trainer(run, [curve, progress, checkpoint], logger)
        trainer.fit(module, data, ckpt_path=readable(checkpoints / "last.ckpt"), weights_only=True)
        if curve.last_step < run.trainer.steps:
            trainer.validate(module, data, verbose=False)
        summary = _summary(run, module, curve)
        if trainer.is_global_zero:
            folder = Path(run.root) / "runs" / run.name
            measured = {
                "seconds": progress.seconds,
                "tokens_per_second": progress.tokens_per_second,
                "peak_bytes": peak_bytes(module.device),
            }
            _write(folder, module, curve, summary, environment(module.device, command) | measured)
            if logger is not None:
                log_weights(logger.experiment, run.name, folder / WEIGHTS, summary)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return summary


def _write(
    folder: Path, module: LitLanguageModel, curve: Curve, summary: dict[str, Any], where: dict[str, Any]
) -> None:
    """Writes the run's folder, while W&B may still fail."""
    folder.mkdir(parents=True, exist_ok=True)
    curve.write(folder / "curve.csv")
    save_file(module.model.state_dict(), folder / WEIGHTS)
    _write_json(folder / "train.json", summary)
    _write_json(folder / "environment.json", where)
    scores = ", ".join(f"{name} {value:.4f}" for name, value in summary["val"].items() if name != "loss")
    print(f"{summary['name']}: {summary['steps']:,} steps, val {scores} -> {folder}")


def _trainer(run: RunConfig, callbacks: list[Callback], logger: Logger | None) -> pl.Trainer:
    settings, steps = run.trainer, run.trainer.steps
    return pl.Trainer(
        accelerator="gpu" if choose_device(settings.accelerator).type == "cuda" else "cpu",
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=settings.precision,  # type: ignore[arg-type]
        max_steps=steps,
        val_check_interval=min(settings.val_every, steps) * settings.accumulate,
        check_val_every_n_epoch=None,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=run.optimizer.clip_norm or None,
        log_every_n_steps=settings.log_every,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=logger if logger is not None else False,
        callbacks=callbacks,
    )


def _summary(run: RunConfig, module: LitLanguageModel, curve: Curve) -> dict[str, Any]:
    steps = run.trainer.steps
    return {
        "name": run.name,
        "fingerprint": fingerprint(run),
        "data": run.data.name,
        "attention": attention_name(run.model.attention, run.model.n_hashes),
        "reversible": run.model.reversible,
        "shared_qk": run.model.shared_qk,
        "n_layers": run.model.n_layers,
        "d_model": run.model.d_model,
        "n_parameters": sum(parameter.numel() for parameter in module.model.parameters()),
        "seed": run.seed,
        "steps": steps,
        "seq_len": run.data.seq_len,
        "tokens_seen": steps * run.trainer.accumulate * run.data.batch_size * run.data.seq_len,
        "val": {name: curve.rows[-1][name] for name in ("loss", "bits_per_dim", "accuracy")},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _quieten() -> None:
    """Leaves out what the reader of a log cannot act on."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for unactionable in (
        "does not have many workers",
        "LeafSpec.*is deprecated",
        "Checkpoint directory .* not empty",
        "`srun` command is available",
    ):
        warnings.filterwarnings("ignore", f".*{unactionable}")
