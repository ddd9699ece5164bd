"""Two other implementations of the Reformer, with the settings under which they resemble this one most.

Only `make bench` installs them (`requirements-bench.txt`).

Shapes: B batch, H heads, L positions, D width of a head.
"""

import logging
from collections.abc import Callable
from importlib import import_module
from math import isqrt
from types import ModuleType

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from reformer.bench.step import Loss
from reformer.model.config import ReformerConfig
from reformer.settings import SettingError

Attention = Callable[[Tensor, Tensor], Tensor]
"""A function of shared queries and keys, (B, H, L, D), and values, (B, H, L, D)."""


def reformer_pytorch_attention(chunk_len: int, n_hashes: int, same_masks: bool) -> Attention:
    """Builds reformer-pytorch's causal LSH attention, which has half as many buckets as ours for the same chunk_len.

    Args:
        chunk_len: its bucket_size.
        n_hashes: hash rounds.
        same_masks: use the same-bucket mask and the correction of duplicates, as the paper does. The defaults of
            reformer-pytorch omit both and are faster.
    """
    module = _import_peer("reformer_pytorch").LSHAttention(
        bucket_size=chunk_len,
        n_hashes=n_hashes,
        causal=True,
        attend_across_buckets=not same_masks,
        allow_duplicate_attention=not same_masks,
    )

    def attend(qk: Tensor, v: Tensor) -> Tensor:
        return module(qk.flatten(0, 1), v.flatten(0, 1))[0].view(v.shape)

    return attend


def reformer_pytorch(config: ReformerConfig) -> tuple[nn.Module, Loss]:
    """Builds reformer-pytorch's ReformerLM with our widths, chunks and ReLU. Its axial position embeddings have full width."""
    model = _import_peer("reformer_pytorch").ReformerLM(
        num_tokens=config.vocab_size,
        dim=config.d_model,
        depth=config.n_layers,
        max_seq_len=config.max_seq_len,
        heads=config.n_heads,
        dim_head=config.d_head,
        bucket_size=config.chunk_len,
        n_hashes=config.n_hashes,
        ff_chunks=max(1, config.max_seq_len // (config.ff_chunk_size or config.max_seq_len)),
        ff_mult=config.d_ff // config.d_model,
        ff_activation=nn.ReLU,
        causal=True,
        axial_position_emb=True,
        axial_position_shape=_factors(config.max_seq_len),
    )

    def loss(tokens: Tensor) -> Tensor:
        return cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    return model, loss


def transformers(config: ReformerConfig) -> tuple[nn.Module, Loss]:
    """Builds transformers' ReformerModelWithLMHead with LSH attention in all layers, our widths, chunks and ReLU."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    library = _import_peer("transformers")
    model = library.ReformerModelWithLMHead(
        library.ReformerConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            feed_forward_size=config.d_ff,
            num_attention_heads=config.n_heads,
            attention_head_size=config.d_head,
            attn_layers=["lsh"] * config.n_layers,
            num_hashes=config.n_hashes,
            lsh_attn_chunk_length=config.chunk_len,
            lsh_num_chunks_before=1,
            lsh_num_chunks_after=0,
            lsh_attention_probs_dropout_prob=0.0,
            hidden_dropout_prob=0.0,
            hidden_act="relu",
            chunk_size_feed_forward=config.ff_chunk_size if config.ff_chunk_size < config.max_seq_len else 0,
            chunk_size_lm_head=config.loss_chunk_size if config.loss_chunk_size < config.max_seq_len else 0,
            max_position_embeddings=config.max_seq_len,
            axial_pos_shape=_factors(config.max_seq_len),
            axial_pos_embds_dim=(config.d_model // 2, config.d_model - config.d_model // 2),
            is_decoder=True,
            use_cache=False,
            pad_token_id=None,
        )
    )

    def loss(tokens: Tensor) -> Tensor:
        return model(input_ids=tokens, labels=tokens).loss

    return model.train(), loss


PEERS = {"reformer-pytorch": reformer_pytorch, "transformers": transformers}


def require_peers() -> None:
    """Raises a SettingError if a peer is not installed."""
    _import_peer("reformer_pytorch")
    _import_peer("transformers")


def _import_peer(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise SettingError(f"{name} is not installed here: run `make bench`, which installs it") from None


def _factors(length: int) -> tuple[int, int]:
    """Splits the length into two factors of similar size. Both peers require that their product equals the length."""
    rows = next(rows for rows in range(isqrt(length), 0, -1) if length % rows == 0)
    return rows, length // rows
