"""What the paper proposes to save memory (Tables 1 and 3), on and off. Free of torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Techniques:
    """What a training step makes use of."""

    attention: str = "lsh"
    """lsh, full, or unfused: full attention that holds the weights of all pairs, as it did when the paper was written."""
    reversible: bool = True
    chunked: bool = True
    """Whether feed-forward and loss are computed a part of the sequence at a time."""


ALL = Techniques()
STORED = Techniques(reversible=False)
WHOLE = Techniques(chunked=False)
FULL, UNFUSED = Techniques("full"), Techniques("unfused")
NONE, NONE_UNFUSED = (Techniques(attention, reversible=False, chunked=False) for attention in ("full", "unfused"))

COMPARED = {
    "seq_len": (ALL, FULL, UNFUSED, NONE, NONE_UNFUSED),
    "n_layers": (ALL, STORED),
    "n_hashes": (ALL, STORED),
    "d_ff": (ALL, WHOLE),
}
"""What the benchmark of memory compares along each axis."""
