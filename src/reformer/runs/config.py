"""Settings of a training run."""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from omegaconf import MISSING

from reformer.data.config import DataConfig
from reformer.files import Root, RunFiles, require_plain_name
from reformer.model.attention_kinds import parse_attention
from reformer.model.config import ReformerConfig
from reformer.settings import Role, require, require_choice, require_within

OPTIMIZERS = ("adam", "adafactor")
SCHEDULES = ("constant", "rsqrt", "linear")
ACCELERATORS = ("auto", "cpu", "gpu")
STRATEGIES = ("auto", "ddp")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")
LOGGER_MODES = ("auto", "online", "offline", "disabled")
# Larger numbers are slips: processes and threads would take minutes to start, steps centuries.
MOST_WORKERS, MOST_THREADS, MOST_STEPS = 256, 4096, 10**10


@dataclass
class OptimizerConfig:
    """Optimiser and learning rate schedule."""

    name: str = "adam"
    lr: float = 1e-3
    """Peak learning rate."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    eps: float = 1e-9
    """For Adam, like betas."""
    weight_decay: float = 0.0
    schedule: str = "rsqrt"
    """After a linear warm-up: constant; rsqrt, which divides by sqrt(max(step, warmup_steps) / warmup_steps); or linear, which
    stays constant and falls linearly to 0 over the last `decay` of the steps."""
    decay: float = 0.5
    """Share of the steps over which the schedule `linear` falls."""
    warmup_steps: int = 100
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 disables clipping."""

    def __post_init__(self) -> None:
        require_choice("optimizer.name", self.name, OPTIMIZERS)
        require_choice("optimizer.schedule", self.schedule, SCHEDULES)
        require(0 < self.decay <= 1, "optimizer.decay", "> 0 and <= 1", self.decay)
        require(0 < self.lr < inf, "optimizer.lr", "> 0 and finite", self.lr)
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "optimizer.betas",
            "two numbers >= 0 and < 1",
            self.betas,
        )
        require(self.eps > 0, "optimizer.eps", "> 0", self.eps)
        require(self.warmup_steps >= 1, "optimizer.warmup_steps", ">= 1", self.warmup_steps)
        require(self.weight_decay >= 0, "optimizer.weight_decay", ">= 0", self.weight_decay)
        require(self.clip_norm >= 0, "optimizer.clip_norm", ">= 0", self.clip_norm)


@dataclass
class TrainerConfig:
    """Length of the training, intervals and devices."""

    max_steps: int = 1000
    steps_scale: float = 1.0
    """Factor of max_steps, which makes all runs longer or shorter."""
    val_every: int = field(default=100, metadata=Role.EXECUTION.mark)
    """Steps between validations. The last step is always followed by one."""
    log_every: int = field(default=10, metadata=Role.EXECUTION.mark)
    accumulate: int = 1
    """Batches whose gradients one step accumulates."""
    accelerator: str = field(default="auto", metadata=Role.EXECUTION.mark)
    devices: int = 1
    """Devices of each machine. Each device draws its own dropout and hashes, so that another number trains other weights. Where
    nothing is drawn, they differ by rounding alone."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = field(default="auto", metadata=Role.EXECUTION.mark)
    precision: str = "32-true"
    num_workers: int = field(default=0, metadata=Role.EXECUTION.mark)
    """Number of processes that load batches."""
    checkpoint_minutes: float = field(default=10.0, metadata=Role.EXECUTION.mark)
    """Minutes of training after which a checkpoint is saved between two validations."""
    threads: int = 0
    """CPU threads that compute; 0 lets PyTorch choose. Another number changes the last bits of the weights."""

    def __post_init__(self) -> None:
        for name in ("max_steps", "val_every", "log_every", "accumulate", "devices", "num_nodes"):
            require_within(1, MOST_STEPS, **{f"trainer.{name}": getattr(self, name)})
        require(0 < self.steps_scale < inf, "trainer.steps_scale", "> 0 and finite", self.steps_scale)
        allowed = f"small enough for max_steps * steps_scale <= {MOST_STEPS:,}"
        require(self.max_steps * self.steps_scale <= MOST_STEPS, "trainer.steps_scale", allowed, self.steps_scale)
        require_choice("trainer.strategy", self.strategy, STRATEGIES)
        require_choice("trainer.accelerator", self.accelerator, ACCELERATORS)
        require_choice("trainer.precision", self.precision, PRECISIONS)
        require_precision(self.precision, self.accelerator == "cpu")
        require(self.checkpoint_minutes > 0, "trainer.checkpoint_minutes", "> 0", self.checkpoint_minutes)
        require_within(0, MOST_WORKERS, **{"trainer.num_workers": self.num_workers})
        require_within(0, MOST_THREADS, **{"trainer.threads": self.threads})

    @property
    def steps(self) -> int:
        """Optimiser steps of the run: max_steps * steps_scale, at least one."""
        return max(1, round(self.max_steps * self.steps_scale))


def require_precision(precision: str, on_cpu: bool) -> None:
    """Raises a SettingError if the device lacks a precision: Lightning would train in another one, under this name."""
    allowed = "bf16-mixed or 32-true on a CPU, which has no mixed precision of 16-bit floats"
    require(not (on_cpu and precision == "16-mixed"), "trainer.precision", allowed, precision)


@dataclass
class LoggerConfig:
    """Weights & Biases."""

    mode: str = "auto"
    """auto: online if a key is configured, otherwise offline."""
    project: str = "reformer"
    entity: str = ""
    group: str = ""
    """Group in the dashboard; empty selects the name of the sweep, the study or the data set."""
    tags: list[str] = field(default_factory=list)
    """Tags in addition to data set, attention and residuals."""
    dir: str = "wandb"

    def __post_init__(self) -> None:
        require_choice("logger.mode", self.mode, LOGGER_MODES)


@dataclass
class EvaluationConfig:
    """Attention and split for the evaluation of trained weights."""

    attention: list[str] = field(default_factory=list)
    """Names of attentions, such as full or lsh-4 (4 hash rounds), off, or trained (the attention of the training)."""
    split: str = "test"

    def __post_init__(self) -> None:
        require_choice("evaluation.split", self.split, ("val", "test"))
        for name in self.attention:
            if name != "trained":
                parse_attention(name, "evaluation.attention")


@dataclass
class GenerationConfig:
    """Generation of the end of held-out sequences with a trained network, token by token."""

    n_samples: int = 3
    """Number of sequences, at even distances in the split."""
    n_tokens: int = 256
    """Tokens generated at the end of each sequence; the tokens before them are given."""
    temperature: float = 1.0
    """Divisor of the logits. Values below 1 favour the likely tokens."""
    split: str = "test"

    def __post_init__(self) -> None:
        require(self.n_samples >= 1, "generation.n_samples", ">= 1", self.n_samples)
        require(self.n_tokens >= 1, "generation.n_tokens", ">= 1", self.n_tokens)
        require(0 < self.temperature < inf, "generation.temperature", "> 0 and finite", self.temperature)
        require_choice("generation.split", self.split, ("val", "test"))


@dataclass
class RunConfig:
    """All settings of one training run, and of the evaluation and generation with its weights."""

    data: DataConfig = MISSING
    model: ReformerConfig = field(default_factory=ReformerConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig, metadata=Role.USE.mark)
    generation: GenerationConfig = field(default_factory=GenerationConfig, metadata=Role.USE.mark)
    logger: LoggerConfig = field(default_factory=LoggerConfig, metadata=Role.EXECUTION.mark)
    seed: int = 1
    name: str = field(default="", metadata=Role.EXECUTION.mark)
    """Name such as `wikipedia_lsh-4_reversible_seed-1`; an empty name is derived from the settings."""
    root: str = field(default="data", metadata=Role.EXECUTION.mark)
    """Folder of all generated files."""
    part: str = field(default="", metadata=Role.EXECUTION.mark)
    """List of params.yaml that names the run."""

    def __post_init__(self) -> None:
        if self.name:
            require_plain_name("name", self.name)
        require_plain_name("data.name", self.data.name)
        n_devices = self.trainer.devices * self.trainer.num_nodes
        require(
            self.data.batch_size % n_devices == 0,
            "data.batch_size",
            f"a multiple of trainer.devices * trainer.num_nodes = {n_devices}",
            self.data.batch_size,
        )
        require(0 <= self.seed < 2**63, "seed", ">= 0 and < 2 ** 63", self.seed)
        require(
            self.data.seq_len <= self.model.max_seq_len,
            "model.max_seq_len",
            f">= data.seq_len = {self.data.seq_len}",
            self.model.max_seq_len,
        )
        require(
            self.data.vocab_size <= self.model.vocab_size,
            "model.vocab_size",
            f">= data.vocab_size = {self.data.vocab_size}",
            self.model.vocab_size,
        )

    @property
    def files(self) -> RunFiles:
        """The files of the run's folder."""
        return Root(Path(self.root)).run(self.name, self.part)

    @property
    def processed(self) -> Path:
        """Folder of the run's prepared data."""
        return Root(Path(self.root)).processed(self.data.name)
