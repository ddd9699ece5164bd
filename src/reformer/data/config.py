"""What defines a data set. Free of torch; one dataclass for each kind, so that a setting of another kind is refused."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from reformer.settings import require, require_at_least


@dataclass
class SourceFile:
    """One file as it is published: where it lives and how to know it is whole."""

    name: str = MISSING
    """File name under data/raw/<data set>/."""
    size: int = MISSING
    """Bytes."""
    sha256: str = MISSING
    urls: list[str] = field(default_factory=list)
    """Addresses of the same bytes, tried in order."""
    wheel: str = ""
    """Or a package and version, `name==version`, of which it is a member."""
    member: str = ""
    """Path inside the wheel."""


@dataclass
class DataConfig:
    """What every kind has."""

    name: str = MISSING
    kind: str = MISSING
    vocab_size: int = MISSING
    seq_len: int = MISSING
    """Tokens a sequence; what the model reads at once."""
    batch_size: int = 8
    """Sequences a step, of all devices together."""

    def __post_init__(self) -> None:
        require_at_least(1, seq_len=self.seq_len, batch_size=self.batch_size)


@dataclass
class DuplicationConfig(DataConfig):
    """The sequences 0w0w of the paper's section 5 (Table 2), made from the seed."""

    kind: str = "duplication"
    n_symbols: int = 127
    """Symbols are 1..n_symbols; 0 marks the beginning of each copy."""
    vocab_size: int = 128
    eval_sequences: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, n_symbols=self.n_symbols, eval_sequences=self.eval_sequences)
        require(self.seq_len % 2 == 0 and self.seq_len >= 4, "seq_len", "even and >= 4", self.seq_len)
        require(self.vocab_size > self.n_symbols, "vocab_size", f"> n_symbols = {self.n_symbols}", self.vocab_size)


@dataclass
class DownloadedConfig(DataConfig):
    """What every data set of real bytes has."""

    files: list[SourceFile] = field(default_factory=list)
    source: str = ""
    """A file or folder that holds the files already, brought by hand."""
    vocab_size: int = 256
    eval_tokens: int = 0
    """Tokens of the held-out split that are scored; 0 scores all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, eval_tokens=self.eval_tokens)


@dataclass
class TextConfig(DownloadedConfig):
    """A stream of bytes, split in order into train, val and test."""

    kind: str = "text"
    split: list[float] = field(default_factory=lambda: [0.9, 0.05, 0.05])
    """Shares of train, val and test."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.split) == 3 and min(self.split) > 0 and abs(sum(self.split) - 1) < 1e-9,
            "split",
            "three positive shares that sum to 1",
            self.split,
        )


@dataclass
class ImagesConfig(DownloadedConfig):
    """RGB images as side * side * 3 tokens in raster order, channel fastest."""

    kind: str = "images"
    side: int = 64
    """Pixels a side; images are 64 pixels a side and are averaged down."""
    seq_len: int = 12288
    flip: bool = False
    """Mirror training images left to right, every second time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.side in (8, 16, 32, 64), "side", "8, 16, 32 or 64", self.side)
        require(
            self.seq_len == self.side * self.side * 3,
            "seq_len",
            f"side * side * 3 = {self.side * self.side * 3}",
            self.seq_len,
        )
