"""Tells modules that compute what their weights say from those that users replaced, wrapped, parametrised or hooked.

The model multiplies by parts of weights and computes parts of a module anew in the backward pass. Both are right only for the
linear layers and LayerNorms of PyTorch itself. Adapters, quantised layers, dropout and hooks must be called, whole and once.
"""

from torch import Tensor, nn
from torch.nn.modules import module as hooks_of_all_modules

PLAIN_LAYERS = (nn.Linear, nn.LayerNorm)
PLAIN_WEIGHTS = (nn.Parameter, Tensor)
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def has_plain_layers(module: nn.Module) -> bool:
    """Returns whether neither the module nor its children are hooked, and all children are plain layers."""
    return runs_only_its_class(module) and all(_is_plain_layer(child) for child in module.children())


def runs_only_its_class(module: nn.Module) -> bool:
    """Returns whether a call of the module runs the code of its class alone: no hook, and no `forward` of the object."""
    own = vars(module)
    hooked = any(own[name] for name in HOOKS)
    # The function and the attributes above are private in PyTorch 2.14.1.
    return not hooked and "forward" not in own and not hooks_of_all_modules._has_any_global_hook()


def _is_plain_layer(layer: nn.Module) -> bool:
    weights = [weight for weight in vars(layer)["_parameters"].values() if weight is not None]
    ordinary = all(type(weight) in PLAIN_WEIGHTS for weight in weights)
    return type(layer) in PLAIN_LAYERS and runs_only_its_class(layer) and bool(weights) and ordinary
