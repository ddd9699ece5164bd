"""The configuration of a benchmark of speed and memory. Importing this module does not import torch."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from reformer.model.attention_kinds import parse_attention
from reformer.model.config import ReformerConfig
from reformer.settings import require, require_at_least, require_choice

BENCHMARKS = ("speed_by_length", "memory")
"""The benchmarks of the paper's figures and tables, which `dvc repro` runs."""
ONE_STEP = ("million", "paper_size")
"""The benchmarks of a single training step that takes minutes."""


@dataclass
class BenchmarkConfig:
    """Training steps of `model`, varied along one axis or several, or a single step."""

    name: str = MISSING
    """speed_by_length: attention by length at constant tokens per step. memory: each technique on and off, along four axes.
    million, paper_size: a single step, and the minimum of its memory by arithmetic."""
    model: ReformerConfig = field(default_factory=ReformerConfig)
    """All settings that do not vary."""
    tokens: int = 8192
    """speed_by_length: tokens per step, the product of length and number of sequences."""
    lengths: list[int] = field(default_factory=list)
    """speed_by_length, memory: tokens per sequence."""
    attentions: list[str] = field(default_factory=lambda: ["full", "lsh-1", "lsh-2", "lsh-4", "lsh-8"])
    """speed_by_length: full, local or lsh-N."""
    depths: list[int] = field(default_factory=list)
    """memory: numbers of layers."""
    rounds: list[int] = field(default_factory=list)
    """memory: numbers of hash rounds."""
    widths: list[int] = field(default_factory=list)
    """memory: values of d_ff."""
    seq_len: int = 1024
    """million, paper_size, and the axes of memory other than length: tokens of the single sequence."""
    repeats: int = 8
    """speed_by_length: rounds after a warm-up, each with one timed step of every attention and length."""
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
            for name in ("ff_chunk_size", "loss_chunk_size"):
                size = getattr(self.model, name)  # the benchmark compares it with 0, which switches chunks off
                require(size >= 1, f"model.{name}", ">= 1", size)
