"""What defines a network. Free of torch, so that a wrong value is reported before torch has loaded."""

from dataclasses import dataclass, field
from math import inf, prod

from reformer.settings import require, require_at_least, require_choice

ATTENTION_KINDS = ("full", "local", "lsh", "off")
WINDOWS = ("chunk", "sorted")
POSITION_KINDS = ("axial", "learned", "sinusoids")


@dataclass
class ReformerConfig:
    """A Reformer or, with `attention=["full"], reversible=False, n_streams=1`, its Transformer baseline.

    Widths, counts and lengths carry the names of the paper's section 2 and of the authors' released code.
    """

    vocab_size: int = 256
    max_seq_len: int = 4096
    """Longest sequence that the position embedding can tell apart."""
    n_layers: int = 3
    d_model: int = 256
    """Width of each of the two reversible streams."""
    d_ff: int = 1024
    n_heads: int = 4
    d_head: int = 64
    """Width of queries, keys and values of one head; n_heads * d_head need not be d_model."""
    attention: list[str] = field(default_factory=lambda: ["lsh"])
    """Kind of each layer's attention: full, local, lsh or off; repeated in a cycle when shorter than n_layers."""
    shared_qk: bool = True
    """Keys are the queries scaled to unit length (section 2). LSH attention always shares."""
    n_hashes: int = 4
    """Hash rounds. No parameter depends on it."""
    chunk_len: int = 64
    """Positions a chunk of sorted positions (lsh, see `window`) or of neighbours (local: a query sees its own chunk, the one
    before and, where not causal, the one after)."""
    n_buckets: int = 0
    """Buckets a round, or a few more where two even factors ask for them; 0 takes 2 * (length // chunk_len), at least 2, from
    the length at hand."""
    same_bucket_mask: bool = True
    """Only keys of the query's own bucket are visible (equation 3), not all of the window."""
    window: str = "sorted"
    """sorted: the chunk_len positions of the query's bucket before it, which, with n_buckets set, makes a causal model causal
    to the letter; chunk: the paper's, whose borders move with later tokens."""
    duplicate_correction: bool = True
    """A key met in several rounds counts once (equations 15 and 16)."""
    causal: bool = True
    reversible: bool = True
    """Recompute activations in the backward pass (section 3) instead of storing them: same function, same parameters."""
    n_streams: int = 2
    """2: the paper's pair of residual streams. 1: the ordinary residual network, with the same parameters."""
    dropout: float = 0.0
    ff_chunk_size: int = 0
    """Positions of the feed-forward computed at a time (section 3); 0 takes all at once."""
    loss_chunk_size: int = 0
    """Positions of logits and loss computed at a time; 0 takes all at once."""
    positions: str = "axial"
    """axial: two factors of the length, each with an embedding of its own; learned: one row a position; sinusoids: learned
    rows that start as the Transformer's sinusoids (the authors', when they wrote the paper)."""
    embedding_std: float = 1.0
    """Standard deviation of token and position embeddings at the start; 1 as in the authors' released code."""
    axial_pos_shape: list[int] = field(default_factory=list)
    """The two factors, their product at least max_seq_len; empty takes the most nearly square pair."""
    axial_pos_dims: list[int] = field(default_factory=list)
    """Widths of the two factors' embeddings, summing to d_model; empty takes halves."""

    def __post_init__(self) -> None:
        require_at_least(
            1,
            vocab_size=self.vocab_size,
            max_seq_len=self.max_seq_len,
            n_layers=self.n_layers,
            d_model=self.d_model,
            d_ff=self.d_ff,
            n_heads=self.n_heads,
            d_head=self.d_head,
            n_hashes=self.n_hashes,
            chunk_len=self.chunk_len,
        )
        require_at_least(0, ff_chunk_size=self.ff_chunk_size, loss_chunk_size=self.loss_chunk_size)
        require(len(self.attention) >= 1, "attention", "a list of at least one kind", self.attention)
        for kind in self.attention:
            require_choice("attention", kind, ATTENTION_KINDS)
        require(
            self.shared_qk or "lsh" not in self.attention,
            "shared_qk",
            "true where attention has lsh (queries and keys must hash alike)",
            self.shared_qk,
        )
        require(
            self.n_buckets == 0 or (self.n_buckets >= 2 and self.n_buckets % 2 == 0),
            "n_buckets",
            "0 or an even number >= 2",
            self.n_buckets,
        )
        require_choice("window", self.window, WINDOWS)
        require(
            self.window == "chunk" or self.same_bucket_mask, "window", "chunk without same_bucket_mask", self.window
        )
        require_choice("n_streams", self.n_streams, (1, 2))
        require(not self.reversible or self.n_streams == 2, "n_streams", "2 where reversible is true", self.n_streams)
        require(0 <= self.dropout < 1, "dropout", ">= 0 and < 1", self.dropout)
        require_choice("positions", self.positions, POSITION_KINDS)
        require(0 < self.embedding_std < inf, "embedding_std", "a positive number", self.embedding_std)
        if self.axial_pos_shape:
            require(
                len(self.axial_pos_shape) == 2
                and min(self.axial_pos_shape) >= 1
                and prod(self.axial_pos_shape) >= self.max_seq_len,
                "axial_pos_shape",
                f"two factors with a product of at least max_seq_len = {self.max_seq_len}",
                self.axial_pos_shape,
            )
        if self.axial_pos_dims:
            require(
                len(self.axial_pos_dims) == 2
                and min(self.axial_pos_dims) >= 0
                and sum(self.axial_pos_dims) == self.d_model,
                "axial_pos_dims",
                f"two widths that sum to d_model = {self.d_model}",
                self.axial_pos_dims,
            )

    @property
    def layer_kinds(self) -> list[str]:
        """Kind of attention of each of the n_layers layers."""
        return [self.attention[i % len(self.attention)] for i in range(self.n_layers)]
