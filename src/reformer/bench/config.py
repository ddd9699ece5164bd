"""What defines a benchmark of speed and memory. Free of torch."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from reformer.model.attention_kinds import parse_attention
from reformer.model.config import ReformerConfig
from reformer.settings import require, require_at_least, require_choice

BENCHMARKS = ("speed_by_length", "memory")
"""Those of the paper's figures and tables, which `dvc repro` runs."""
ONE_STEP = ("million", "paper_size")
"""Those of one training step that takes minutes."""


@dataclass
class BenchmarkConfig:
    """One benchmark: training steps of `model`, varied along one axis or several, or one step."""

    name: str = MISSING
    """speed_by_length: attention by length at constant tokens; memory: each technique on and off, along four axes.

    million, paper_size: one step, beside the arithmetic of what it must store.
    """
    model: ReformerConfig = field(default_factory=ReformerConfig)
    """Everything that is not varied."""
    tokens: int = 8192
    """speed_by_length: tokens a step, length times sequences."""
    lengths: list[int] = field(default_factory=list)
    """speed_by_length, memory: tokens a sequence."""
    attentions: list[str] = field(default_factory=lambda: ["full", "lsh-1", "lsh-2", "lsh-4", "lsh-8"])
    """speed_by_length: full, local or lsh-N."""
    depths: list[int] = field(default_factory=list)
    """memory: numbers of layers."""
    rounds: list[int] = field(default_factory=list)
    """memory: numbers of hash rounds."""
    widths: list[int] = field(default_factory=list)
    """memory: values of d_ff."""
    seq_len: int = 1024
    """memory (where the length is not varied), million, paper_size: tokens of the one sequence."""
    repeats: int = 5
    """speed_by_length: steps that are timed, after one that is not; the median counts."""
    accelerator: str = "auto"
    """auto, cpu or gpu."""

    def __post_init__(self) -> None:
        require_choice("name", self.name, (*BENCHMARKS, *ONE_STEP))
        require_at_least(1, tokens=self.tokens, seq_len=self.seq_len, repeats=self.repeats)
        require_choice("accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        if self.name == "speed_by_length":
            fit = all(length >= 1 and self.tokens % length == 0 for length in self.lengths)
            require(bool(self.lengths) and fit, "lengths", f"divisors of tokens = {self.tokens}", self.lengths)
            require(bool(self.attentions), "attentions", "a list of at least one", self.attentions)
            for attention in self.attentions:
                parse_attention(attention)
        elif self.name == "memory":
            for name in ("lengths", "depths", "rounds", "widths"):
                values = getattr(self, name)
                require(bool(values) and min(values) >= 1, name, "a list of numbers >= 1", values)
            for name in ("ff_chunk_size", "loss_chunk_size"):  # what is switched off must be on
                size = getattr(self.model, name)
                require(size >= 1, f"model.{name}", ">= 1", size)
