"""Trained position embeddings: one per position, or the axial factorisation of the authors' later code.

Shapes: L positions, D d_model.
"""

from math import ceil, isqrt

import torch
from torch import Tensor, nn

from reformer.model.config import ReformerConfig


def build_positions(config: ReformerConfig) -> "LearnedPositions | AxialPositions":
    """Builds the position embedding of the configuration, which maps a length L to (L, D)."""
    if config.positions == "learned":
        return LearnedPositions(config.max_seq_len, config.d_model)
    if config.positions == "sinusoids":
        return SinusoidPositions(config.max_seq_len, config.d_model)
    shape = config.axial_pos_shape or _nearly_square(config.max_seq_len)
    dims = config.axial_pos_dims or [config.d_model // 2, config.d_model - config.d_model // 2]
    return AxialPositions(shape, dims)


class LearnedPositions(nn.Module):
    """An embedding for each position: max_seq_len * D parameters."""

    def __init__(self, max_seq_len: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_seq_len, d_model))

    def initialise(self, std: float) -> None:
        """Draws the initial parameters."""
        nn.init.normal_(self.weight, std=std)

    def forward(self, length: int) -> Tensor:
        """Returns the embeddings of positions 0 to L - 1, (L, D)."""
        return self.weight[:length]


class SinusoidPositions(LearnedPositions):
    """Learned positions, initialised as sinusoids: neighbours are similar, so that attention finds them from the first step.

    Column 2i is sin(position / 10000^(2i / D)), and column 2i + 1 the cosine (Vaswani et al., 2017, section 3.5).
    """

    @torch.no_grad()
    def initialise(self, std: float) -> None:
        """Sets the initial parameters. They have the standard deviation of a sinusoid, 0.7, and std is ignored."""
        length, width = self.weight.shape
        position = torch.arange(length, dtype=torch.float64, device=self.weight.device)[:, None]
        even = torch.arange(0, width, 2, dtype=torch.float64, device=self.weight.device)
        angles = position * 10000 ** (-even / width)
        self.weight[:, 0::2] = angles.sin()
        self.weight[:, 1::2] = angles[:, : width // 2].cos()


class AxialPositions(nn.Module):
    """Positions as cells of a table of n rows and m columns, with an embedding for each row and each column.

    n * d_1 + m * d_2 parameters represent n * m positions. It accepts any length up to n * m.
    """

    def __init__(self, shape: list[int], dims: list[int]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(shape[0], dims[0]))
        self.columns = nn.Parameter(torch.empty(shape[1], dims[1]))

    def initialise(self, std: float) -> None:
        """Draws the initial parameters."""
        nn.init.normal_(self.rows, std=std)
        nn.init.normal_(self.columns, std=std)

    def forward(self, length: int) -> Tensor:
        """Returns the embeddings of positions 0 to L - 1, (L, D)."""
        n_columns = len(self.columns)
        n_rows = ceil(length / n_columns)
        rows = self.rows[:n_rows, None].expand(-1, n_columns, -1)
        columns = self.columns.expand(n_rows, -1, -1)
        return torch.cat([rows, columns], dim=-1).flatten(0, 1)[:length]


def _nearly_square(length: int) -> list[int]:
    """Returns two factors of the length or, if none are close to its square root, of a slightly larger number."""
    root = isqrt(length)
    for n_rows in range(root, root // 2, -1):
        if length % n_rows == 0:
            return [n_rows, length // n_rows]
    return [ceil(length / (root + 1)), root + 1]
