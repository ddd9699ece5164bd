"""Models and batches of sizes that are small and all different, so that a swapped axis fails."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

import reformer.model.attention as attention_module
from reformer.model.attention import Attention
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM

MIXED = ["lsh", "full", "local"]


def small_config(**settings: Any) -> ReformerConfig:
    sizes = {
        "vocab_size": 19,
        "max_seq_len": 40,
        "n_layers": 3,
        "d_model": 10,
        "d_ff": 14,
        "n_heads": 2,
        "d_head": 6,
        "attention": MIXED,
        "n_hashes": 3,
        "chunk_len": 8,
        "embedding_std": 0.02,
    }
    return ReformerConfig(**sizes | settings)


def small_model(dtype: torch.dtype = torch.float64, seed: int = 0, **settings: Any) -> ReformerLM:
    """A model in which no parameter is at its special starting value: biases and LayerNorms are noise too."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = ReformerLM(small_config(**settings)).to(torch.float64)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return model.to(dtype)


def twin_of(model: ReformerLM, **settings: Any) -> ReformerLM:
    """The same parameters under other settings."""
    twin = ReformerLM(ReformerConfig(**vars(model.config) | settings)).to(next(model.parameters()).dtype)
    twin.load_state_dict(model.state_dict())
    return twin.train(model.training)


def small_batch(length: int = 29, n_examples: int = 3, n_symbols: int = 19, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs and targets, (n_examples, length) each."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(n_symbols, (2, n_examples, length), generator=generator).unbind()


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def step(model: ReformerLM, inputs: Tensor, targets: Tensor, seed: int = 2) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Losses and gradients of a training step whose hashing and dropout come from the seed."""
    torch.manual_seed(seed)
    model.zero_grad()
    nll = model(inputs, targets).nll
    nll.mean().backward()
    return nll.detach(), gradients(model)


def relative_error(found: Iterable[Tensor], exact: Iterable[Tensor]) -> float:
    """Norm of the difference over the norm of what is exact, over all tensors together."""
    pairs = [(a.double(), b.double()) for a, b in zip(found, exact, strict=True)]
    return (sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)).sqrt().item()


@contextmanager
def fixed_buckets(n_buckets: int = 4) -> Iterator[None]:
    """Buckets that follow from the position alone, scattered and of uneven size."""

    def rotations(attention: Attention, x: Tensor, padding_mask: Tensor | None) -> Sequence[Tensor]:
        return [torch.empty(len(x), attention.config.n_heads, attention.config.n_hashes)]

    def buckets(q: Tensor, rotations: Sequence[Tensor]) -> Tensor:
        places = torch.arange(q.shape[2])
        rounds = torch.arange(rotations[0].shape[2])[:, None]
        ids = ((places * places + 3 * places + 1) * (2 * rounds + 1) // 5 + rounds) % n_buckets
        return ids.to(torch.int32).expand(*q.shape[:2], -1, -1)

    with patch.object(attention_module, "hash_vectors", buckets), patch.object(Attention, "_rotations", rotations):
        yield
