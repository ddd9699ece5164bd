"""One training run, from its settings to the files of its folder."""

import hashlib
import logging
import shutil
import warnings
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from safetensors.torch import save

from reformer.files import WEIGHTS_DIGEST, RunFiles, write_json, written_whole
from reformer.machine import choose_device, environment, peak_bytes, use_threads
from reformer.model.attention_kinds import attention_name
from reformer.model.reformer_lm import ReformerLM
from reformer.processes import alone_in
from reformer.runs.config import RunConfig, require_precision
from reformer.runs.fingerprint import code_digest, fingerprint
from reformer.settings import TRAINED, values_with
from reformer.tracking.artifacts import log_weights, use_data
from reformer.tracking.metrics import SCORES
from reformer.tracking.wandb_run import lightning_logger
from reformer.training.callbacks import LearningCurve, ProgressMonitor
from reformer.training.checkpoints import LastTwo, checkpoint_folder
from reformer.training.data_module import LanguageDataModule
from reformer.training.interruption import Signals
from reformer.training.lit_module import LitLanguageModel
from reformer.training.saving import Saving


def train(run: RunConfig, command: str) -> dict[str, Any]:
    """Trains a network, or resumes an interrupted training with the same fingerprint.

    Writes into `<root>/runs/<name>/`: train.json (settings, size and validation scores), curve.csv (scores by step) and
    weights.safetensors, which are identical each time on the same machine; and environment.json (machine, time and speed).
    Tries the folder before the first step, and writes train.json last, with the digest of the weights.

    Args:
        run: all settings.
        command: the typed command, for environment.json.

    Returns:
        The content of train.json.

    Raises:
        SettingError: the settings do not fit the prepared data or the device.
        DataError: the folder cannot be written to, or another process writes into it.
        Diverged: the loss is not finite.
        Stopped: SIGTERM or SIGINT has ended the training, after a checkpoint.
    """
    _silence_warnings()
    use_threads(run.trainer.threads)
    require_precision(run.trainer.precision, choose_device(run.trainer.accelerator).type == "cpu")
    data = LanguageDataModule(run.data, run.processed, run.seed, run.trainer.accumulate, run.trainer.num_workers)
    data.check()
    first = getattr(rank_zero_only, "rank", 0) == 0
    with alone_in(run.files.folder) if first else nullcontext(), Signals() as signals:
        return _train(run, command, data, signals)


def _train(run: RunConfig, command: str, data: LanguageDataModule, signals: Signals) -> dict[str, Any]:
    torch.manual_seed(run.seed)
    module = LitLanguageModel(ReformerLM(run.model), run.optimizer, run.seed)
    tokens_per_step = run.data.batch_size * run.trainer.accumulate * run.data.seq_len
    curve, progress = LearningCurve(tokens_per_step), ProgressMonitor(run.name, tokens_per_step)
    checkpoints = checkpoint_folder(run)
    files = LastTwo(checkpoints)
    saving = Saving(run, files, signals, curve)
    resumed, damage = files.find()
    if damage:
        rank_zero_only(print)(damage)
    n_bytes = sum(parameter.nbytes for parameter in module.parameters())
    with lightning_logger(run, upload=n_bytes, beside=checkpoints) as logger:
        if logger is not None:
            use_data(logger.experiment, run.processed)
        trainer = _trainer(run, [curve, progress, saving], files, logger)
        trainer.fit(module, data, ckpt_path=resumed, weights_only=True)
        if curve.last_step < run.trainer.steps:
            trainer.validate(module, data, verbose=False)
        summary = _summary(run, module, curve)
        if trainer.is_global_zero:
            measured = {
                "seconds": progress.seconds,
                "tokens_per_second": progress.tokens_per_second,
                "peak_bytes": peak_bytes(module.device),
            }
            _write_files(run.files, module, curve, summary, environment(module.device, command) | measured)
            if logger is not None:
                log_weights(logger.experiment, run.name, run.files.weights, summary)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return summary


def _write_files(
    files: RunFiles, module: LitLanguageModel, curve: LearningCurve, summary: dict[str, Any], measured: dict[str, Any]
) -> None:
    """Writes the run's folder, before W&B uploads anything and may fail. Adds the digest of the weights to the summary."""
    curve.write(files.curve)
    weights = save(module.model.state_dict())
    with written_whole(files.weights) as out:
        out.write(weights)
    write_json(files.environment, measured)
    summary[WEIGHTS_DIGEST] = hashlib.sha256(weights).hexdigest()
    write_json(files.train, summary)
    scores = ", ".join(f"{name} {value:.4f}" for name, value in summary["val"].items() if name != "loss")
    print(f"{summary['name']}: {summary['steps']:,} steps, val {scores} -> {files.folder}")


def _trainer(run: RunConfig, callbacks: list[Callback], files: LastTwo, logger: Logger | None) -> pl.Trainer:
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
        plugins=[files],
    )


def _summary(run: RunConfig, module: LitLanguageModel, curve: LearningCurve) -> dict[str, Any]:
    steps = run.trainer.steps
    return {
        "name": run.name,
        "fingerprint": fingerprint(run),
        "code": code_digest(),
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
        "val": {name: curve.rows[-1][name] for name in SCORES},
        "settings": values_with(run, *TRAINED),
    }


def _silence_warnings() -> None:
    """Hides messages that the reader of a log cannot act on."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        "does not have many workers",
        "LeafSpec.*is deprecated",
        "Checkpoint directory .* not empty",
        "`srun` command is available",
    ):
        warnings.filterwarnings("ignore", f".*{message}")
