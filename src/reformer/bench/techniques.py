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


ALL_TECHNIQUES = Techniques()
WITHOUT_REVERSIBLE = Techniques(reversible=False)
WITHOUT_CHUNKS = Techniques(chunked=False)
FULL_ATTENTION, UNFUSED_ATTENTION = Techniques("full"), Techniques("unfused")
NO_TECHNIQUE, NO_TECHNIQUE_UNFUSED = (
    Techniques(attention, reversible=False, chunked=False) for attention in ("full", "unfused")
)

COMPARED = {
    "seq_len": (ALL_TECHNIQUES, FULL_ATTENTION, UNFUSED_ATTENTION, NO_TECHNIQUE, NO_TECHNIQUE_UNFUSED),
    "n_layers": (ALL_TECHNIQUES, WITHOUT_REVERSIBLE),
    "n_hashes": (ALL_TECHNIQUES, WITHOUT_REVERSIBLE),
    "d_ff": (ALL_TECHNIQUES, WITHOUT_CHUNKS),
}
"""What the benchmark of memory compares along each axis."""
