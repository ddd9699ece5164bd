"""What defines a training run. Free of torch and Lightning."""

from dataclasses import dataclass, field
from math import inf

from omegaconf import MISSING

from reformer.data.config import DataConfig
from reformer.model.attention_name import parse_attention
from reformer.model.config import ReformerConfig
from reformer.settings import require, require_choice

OPTIMIZERS = ("adam", "adafactor")
SCHEDULES = ("constant", "rsqrt")
ACCELERATORS = ("auto", "cpu", "gpu")
STRATEGIES = ("auto", "ddp")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")
LOGGER_MODES = ("auto", "online", "offline", "disabled")


@dataclass
class OptimizerConfig:
    """An optimiser and its learning rate over time."""

    name: str = "adam"
    lr: float = 1e-3
    """Peak learning rate."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    """Adam's."""
    eps: float = 1e-9
    """Adam's."""
    weight_decay: float = 0.0
    schedule: str = "rsqrt"
    """After a linear warm-up: constant, or rsqrt: divided by sqrt(max(step, warmup_steps) / warmup_steps)."""
    warmup_steps: int = 100
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""

    def __post_init__(self) -> None:
        require_choice("optimizer.name", self.name, OPTIMIZERS)
        require_choice("optimizer.schedule", self.schedule, SCHEDULES)
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
    """How long, how often, and on what to train."""

    max_steps: int = 1000
    steps_scale: float = 1.0
    """Multiplies max_steps: the one knob that makes every run longer or shorter."""
    val_every: int = 100
    """Steps between two looks at the held-out split, where max_steps is not reached before."""
    log_every: int = 10
    accumulate: int = 1
    """Batches a step."""
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    num_workers: int = 0
    """Processes that prepare batches."""

    def __post_init__(self) -> None:
        for name in ("max_steps", "val_every", "log_every", "accumulate", "devices", "num_nodes"):
            require(getattr(self, name) >= 1, f"trainer.{name}", ">= 1", getattr(self, name))
        require(0 < self.steps_scale < inf, "trainer.steps_scale", "> 0 and finite", self.steps_scale)
        require_choice("trainer.strategy", self.strategy, STRATEGIES)
        require_choice("trainer.accelerator", self.accelerator, ACCELERATORS)
        require_choice("trainer.precision", self.precision, PRECISIONS)
        require(self.num_workers >= 0, "trainer.num_workers", ">= 0", self.num_workers)

    @property
    def steps(self) -> int:
        """Optimiser steps of the run: max_steps * steps_scale, at least one."""
        return max(1, round(self.max_steps * self.steps_scale))


@dataclass
class LoggerConfig:
    """Weights & Biases."""

    mode: str = "auto"
    """auto: online when a key is configured, otherwise offline."""
    project: str = "reformer"
    entity: str = ""
    group: str = ""
    """Groups runs in the dashboard; empty takes the sweep's name, the study's, or the data set's."""
    tags: list[str] = field(default_factory=list)
    """What runs can be found by, beside data set, attention and residuals."""
    dir: str = "wandb"

    def __post_init__(self) -> None:
        require_choice("logger.mode", self.mode, LOGGER_MODES)


@dataclass
class EvaluationConfig:
    """Which attention the trained weights are evaluated with, and on what."""

    attention: list[str] = field(default_factory=list)
    """full, local, off, lsh-N (N hash rounds), or trained (as in training)."""
    split: str = "test"

    def __post_init__(self) -> None:
        require_choice("evaluation.split", self.split, ("val", "test"))
        for name in self.attention:
            if name != "trained":
                parse_attention(name, "evaluation.attention")


@dataclass
class GenerationConfig:
    """What a trained network draws: the end of held-out sequences, one token after another."""

    n_samples: int = 3
    """Sequences, spread over the split."""
    n_tokens: int = 256
    """Tokens drawn at the end of each; what stands before them is given."""
    temperature: float = 1.0
    """Divides the logits: below 1 the likely tokens are drawn more often than the network believes."""
    split: str = "test"

    def __post_init__(self) -> None:
        require(self.n_samples >= 1, "generation.n_samples", ">= 1", self.n_samples)
        require(self.n_tokens >= 1, "generation.n_tokens", ">= 1", self.n_tokens)
        require(0 < self.temperature < inf, "generation.temperature", "> 0 and finite", self.temperature)
        require_choice("generation.split", self.split, ("val", "test"))


@dataclass
class RunConfig:
    """Everything that one training run and what is made of it depend on."""

    data: DataConfig = MISSING
    model: ReformerConfig = field(default_factory=ReformerConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    seed: int = 1
    name: str = ""
    """What the run is: `wikipedia_lsh-4_reversible_seed-1`; empty takes it from the settings."""
    root: str = "data"
    """Folder of everything generated."""

    def __post_init__(self) -> None:
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
