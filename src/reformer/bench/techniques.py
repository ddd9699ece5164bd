"""The paper's techniques that save memory (Tables 1 and 3), on and off. Importing this module does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Techniques:
    """The techniques that a training step uses."""

    attention: str = "lsh"
    """lsh, full, or unfused: full attention that stores the weights of all pairs, as was usual when the paper was written."""
    reversible: bool = True
    chunked: bool = True
    """Compute feed-forward and loss in chunks of the sequence."""


ALL_TECHNIQUES = Techniques()
WITHOUT_REVERSIBLE = Techniques(reversible=False)
WITHOUT_CHUNKS = Techniques(chunked=False)
FULL_ATTENTION, UNFUSED_ATTENTION = Techniques("full"), Techniques("unfused")
NO_TECHNIQUE, NO_TECHNIQUE_UNFUSED = (
    Techniques(attention, reversible=False, chunked=False) for attention in ("full", "unfused")
)

TECHNIQUES_BY_AXIS = {
    "seq_len": (ALL_TECHNIQUES, FULL_ATTENTION, UNFUSED_ATTENTION, NO_TECHNIQUE, NO_TECHNIQUE_UNFUSED),
    "n_layers": (ALL_TECHNIQUES, WITHOUT_REVERSIBLE),
    "n_hashes": (ALL_TECHNIQUES, WITHOUT_REVERSIBLE),
    "d_ff": (ALL_TECHNIQUES, WITHOUT_CHUNKS),
}
"""The techniques that the memory benchmark compares along each axis."""
