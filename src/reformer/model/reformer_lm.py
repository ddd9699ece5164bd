"""The language model: embedding and positions, residual layers, LayerNorm over both streams, logits or losses.

Shapes: B batch, L positions, D d_model, V vocab_size.
"""

from typing import overload

import torch
from torch import Tensor, nn

from reformer.model.checks import check_padding_mask, check_tokens
from reformer.model.config import ReformerConfig
from reformer.model.loss import Head, TokenLosses
from reformer.model.positions import build_positions
from reformer.model.residual import ResidualStack

__all__ = ["ReformerLM", "TokenLosses"]


class ReformerLM(nn.Module):
    """A Reformer language model or, with the configuration of the baseline, a Transformer.

    | parameters | initial values |
    |---|---|
    | token embedding, positions | normal with standard deviation `embedding_std`; sinusoidal positions as in the Transformer |
    | matrices | Glorot uniform |
    | biases | 0 |
    | LayerNorm | weight 1, bias 0 |
    """

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = build_positions(config)
        self.stack = ResidualStack(config)
        self.head = Head(config)
        nn.init.normal_(self.embedding.weight, std=config.embedding_std)
        self.apply(_initialise)
        self.positions.initialise(config.embedding_std)

    @overload
    def forward(self, inputs: Tensor, targets: None = None, padding_mask: Tensor | None = None) -> Tensor: ...
    @overload
    def forward(self, inputs: Tensor, targets: Tensor, padding_mask: Tensor | None = None) -> TokenLosses: ...

    def forward(
        self, inputs: Tensor, targets: Tensor | None = None, padding_mask: Tensor | None = None
    ) -> Tensor | TokenLosses:
        """Predicts each target from the inputs up to its position or, if the model is not causal, from all inputs.

        Args:
            inputs: tokens, (B, L), any L up to `max_seq_len`.
            targets: the token after each input, (B, L). None returns logits. The target -100 has a loss of 0, and
                `TokenLosses.mean` leaves it out.
            padding_mask: bool, (B, L), true at real tokens. The results at pads are meaningless.

        Returns:
            The losses of the targets, computed in chunks, or the logits, (B, L, V).

        Raises:
            SettingError: inputs, targets or padding_mask have another shape or type, or are longer than max_seq_len.
            RuntimeError: the model runs under DataParallel.
        """
        if getattr(self, "_is_replica", False):  # DataParallel sets this private attribute (PyTorch 2.14.1)
            raise RuntimeError("ReformerLM cannot be run by DataParallel: use DistributedDataParallel")
        check_tokens(inputs, targets, self.config.max_seq_len)
        check_padding_mask(padding_mask, inputs.shape)
        x = self.embedding(inputs) + self.positions(inputs.shape[1])
        y1, y2 = self.stack(x, padding_mask)
        return self.head(y1, y2) if targets is None else self.head.losses(y1, y2, targets, padding_mask)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
