"""The choice of an implementation of LSH attention: `lsh_fused` on CPU, `lsh_triton` on CUDA devices, else `lsh_portable`."""

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from reformer.model import lsh_fused, lsh_hash, lsh_portable
from reformer.model.lsh_rules import Rules
from reformer.settings import require_choice

# Environment variable that forces an implementation.
VARIABLE = "REFORMER_LSH"
NAMES = ("triton", "fused", "portable")
# The oldest GPUs that the kernels run on: Ampere, the first with bfloat16 and TF32.
MIN_CAPABILITY = (8, 0)


def implementation(x: Tensor) -> ModuleType:
    """Returns the module whose `forward` and `backward` compute LSH attention on the device of x.

    Raises:
        SettingError: the environment variable that forces one has an unknown name.
    """
    forced = os.environ.get(VARIABLE)
    if forced:
        require_choice(VARIABLE, forced, NAMES)
        return import_module(f"reformer.model.lsh_{forced}")
    if x.device.type == "cpu" and lsh_fused.kernels_exist():
        return lsh_fused
    if x.device.type == "cuda" and not _fault(x.device):
        return import_module("reformer.model.lsh_triton")
    return lsh_portable


def hash_vectors(qk: Tensor, rotations: Sequence[Tensor]) -> Tensor:
    """Computes `lsh_hash.hash_vectors`, (B, H, R, L), with a kernel where `lsh_triton` is chosen."""
    if qk.dtype != torch.float64 and implementation(qk).__name__ == "reformer.model.lsh_triton":
        return import_module("reformer.model.lsh_triton_sort").hash_vectors(qk, rotations)
    return lsh_hash.hash_vectors(qk, rotations)


@lru_cache
def _fault(device: torch.device) -> str:
    """Returns the reason against `lsh_triton` on a CUDA device, after one warning, or an empty string."""
    fault = ""
    if torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        fault = "its compute capability is below {}.{}".format(*MIN_CAPABILITY)
    else:
        try:
            difference = _difference(device)
            if not difference < 1e-2:
                fault = f"its results differ by {difference:.1e} from the portable ones"
        except (ImportError, RuntimeError) as error:
            fault = f"{type(error).__name__}: {error}".splitlines()[0]
    if fault:
        warnings.warn(f"LSH attention on {device} runs without its fast kernels: {fault}", stacklevel=2)
    return fault


@torch.no_grad()
def _difference(device: torch.device) -> float:
    """Returns the largest difference of `lsh_triton` from `lsh_portable` in float64, over the results of a small input."""
    lsh_triton = import_module("reformer.model.lsh_triton")
    generator = torch.Generator(device).manual_seed(0)
    qk, v, grad = torch.randn(3, 1, 2, 50, 16, generator=generator, device=device)
    buckets = torch.randint(6, (1, 2, 3, 50), generator=generator, device=device, dtype=torch.int16)
    rules = Rules(8, causal=True, same_bucket_mask=True, duplicate_correction=True, window="sorted")
    results = []
    for module, dtype in ((lsh_triton, torch.float32), (lsh_portable, torch.float64)):
        inputs = [x.to(dtype) for x in (qk, v)]
        out, lse = module.forward(*inputs, buckets, None, rules)
        results.append([out, *module.backward(grad.to(dtype), *inputs, buckets, None, out, lse, rules)])
    return max(float((a - b).abs().max()) for a, b in zip(*results, strict=True))
