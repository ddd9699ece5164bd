"""The configuration of a network. Importing it does not import torch: a wrong value is reported before torch has loaded."""

from dataclasses import dataclass, field, replace
from math import inf, prod

from reformer.model.attention_kinds import KINDS, hashes, parse_attention
from reformer.model.windows import WINDOWS
from reformer.settings import require, require_at_least, require_choice, require_within

SIZES = ("vocab_size", "max_seq_len", "d_model", "d_ff", "chunk_len")
COUNTS = ("n_layers", "n_heads", "d_head", "n_hashes")
LARGEST_SIZE, LARGEST_COUNT = 1 << 24, 1 << 12
POSITION_KINDS = ("axial", "learned", "sinusoids")


@dataclass
class ReformerConfig:
    """A Reformer or, with `attention=["full"], reversible=False, n_streams=1`, its Transformer baseline.

    Widths, counts and lengths have the names of the paper's section 2 and of the authors' released code.
    """

    vocab_size: int = 256
    max_seq_len: int = 4096
    """Longest sequence that the position embedding covers."""
    n_layers: int = 3
    d_model: int = 256
    """Width of each of the two reversible streams."""
    d_ff: int = 1024
    n_heads: int = 4
    d_head: int = 64
    """Width of the queries, keys and values of a head. n_heads * d_head may differ from d_model."""
    attention: list[str] = field(default_factory=lambda: ["lsh"])
    """Kind of each layer's attention, a key of `attention_kinds.KINDS`. A list shorter than n_layers is repeated in a cycle."""
    shared_qk: bool = True
    """Keys are the queries scaled to unit length (section 2). Kinds of attention that hash need it."""
    n_hashes: int = 4
    """Hash rounds. The shapes of the parameters do not depend on it."""
    chunk_len: int = 64
    """Positions per chunk: of the sorted order (lsh, see `window`) or of the sequence (local: a query sees its own chunk, the
    previous one and, if not causal, the next one)."""
    n_buckets: int = 0
    """Buckets per round, rounded up if it has no two even factors of similar size. 0 derives it from the length of each input:
    2 * (length // chunk_len), at least 2. With padding, the largest number of real tokens counts."""
    same_bucket_mask: bool = True
    """A query sees only keys of its own bucket (equation 3), not its whole window."""
    window: str = "sorted"
    """sorted: a query sees the chunk_len positions of its bucket before it (and after it, if not causal). With n_buckets set, a
    causal model is then strictly causal. chunk: the paper's window. Later tokens move its borders."""
    duplicate_correction: bool = True
    """A key that is visible in several rounds counts once (equations 15 and 16)."""
    causal: bool = True
    reversible: bool = True
    """Recompute activations in the backward pass (section 3) instead of storing them. Outputs and parameters are the same."""
    n_streams: int = 2
    """2: the paper's pair of residual streams. 1: an ordinary residual network with the same parameters."""
    dropout: float = 0.0
    ff_chunk_size: int = 0
    """Positions of the feed-forward that are computed at a time (section 3). 0 computes all at once."""
    loss_chunk_size: int = 0
    """Positions of logits and loss that are computed at a time. 0 computes all at once."""
    positions: str = "axial"
    """axial: an embedding for each row and each column of a table of positions. learned: an embedding for each position.
    sinusoids: learned embeddings initialised as the Transformer's sinusoids, as in the authors' code for the paper."""
    embedding_std: float = 1.0
    """Initial standard deviation of token and position embeddings. The authors' released code has 1."""
    axial_pos_shape: list[int] = field(default_factory=list)
    """Rows and columns of the table, their product at least max_seq_len. Empty derives a nearly square table."""
    axial_pos_dims: list[int] = field(default_factory=list)
    """Widths of the embeddings of rows and columns, which sum to d_model. Empty derives halves."""

    def __post_init__(self) -> None:
        require_within(1, LARGEST_SIZE, **{name: getattr(self, name) for name in SIZES})
        require_within(1, LARGEST_COUNT, **{name: getattr(self, name) for name in COUNTS})
        require_within(0, LARGEST_SIZE, n_buckets=self.n_buckets)
        require_at_least(0, ff_chunk_size=self.ff_chunk_size, loss_chunk_size=self.loss_chunk_size)
        require(len(self.attention) >= 1, "attention", "a list of at least one kind", self.attention)
        for kind in self.attention:
            require_choice("attention", kind, list(KINDS))
        shared = self.shared_qk or not hashes(self.attention)
        hashing = ", ".join(kind for kind in KINDS if KINDS[kind].hashes)
        require(shared, "shared_qk", f"true for {hashing} (a query and its key share a bucket)", self.shared_qk)
        require(self.n_buckets % 2 == 0, "n_buckets", "0 or an even number >= 2", self.n_buckets)
        require_choice("window", self.window, WINDOWS)
        fits_mask = self.window == "chunk" or self.same_bucket_mask
        require(fits_mask, "window", "chunk without same_bucket_mask", self.window)
        require_choice("n_streams", self.n_streams, (1, 2))
        require(not self.reversible or self.n_streams == 2, "n_streams", "2 where reversible is true", self.n_streams)
        require(0 <= self.dropout < 1, "dropout", ">= 0 and < 1", self.dropout)
        require_choice("positions", self.positions, POSITION_KINDS)
        require(0 < self.embedding_std < inf, "embedding_std", "a positive number", self.embedding_std)
        shape, dims = self.axial_pos_shape, self.axial_pos_dims
        reaches = len(shape) == 2 and min(shape) >= 1 and prod(shape) >= self.max_seq_len
        allowed = f"two factors with a product of at least max_seq_len = {self.max_seq_len}"
        require(not shape or reaches, "axial_pos_shape", allowed, shape)
        adds_up = len(dims) == 2 and min(dims) >= 0 and sum(dims) == self.d_model
        require(not dims or adds_up, "axial_pos_dims", f"two widths that sum to d_model = {self.d_model}", dims)

    @property
    def layer_kinds(self) -> list[str]:
        """Returns the kind of attention of each of the n_layers layers."""
        return [self.attention[i % len(self.attention)] for i in range(self.n_layers)]


def with_attention(config: ReformerConfig, attention: str) -> ReformerConfig:
    """Returns the configuration of a trained network with another attention.

    Args:
        config: configuration of the trained network.
        attention: `trained` changes nothing, `off` removes the attention of the layers that hash, and any other name, such as
            `full` or `lsh-4`, sets the attention of all layers.
    """
    if attention == "trained":
        return config
    if attention == "off":
        return replace(config, attention=["off" if KINDS[kind].hashes else kind for kind in config.attention])
    kinds, n_hashes = parse_attention(attention, "evaluation.attention")
    return replace(config, attention=kinds, n_hashes=n_hashes or config.n_hashes)
