"""The Reformer (Kitaev, Kaiser, Levskaya, ICLR 2020, arXiv 2001.04451) and the experiments that hold its claims to account.

The library is two names: :class:`ReformerConfig` describes a network, :class:`ReformerLM` is it, a plain `nn.Module`.
"""

from typing import TYPE_CHECKING, Any

from reformer.model.config import ReformerConfig

if TYPE_CHECKING:
    from reformer.model.reformer_lm import ReformerLM

__all__ = ["ReformerConfig", "ReformerLM"]


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import, and the command line must report a mistyped setting in less.
    if name == "ReformerLM":
        from reformer.model.reformer_lm import ReformerLM

        return ReformerLM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
