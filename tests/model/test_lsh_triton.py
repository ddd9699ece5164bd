"""The Triton kernels without a GPU: their results under the interpreter, and their compilation for GPUs that are not here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reformer.model.lsh_hash import draw_rotations
from reformer.model.lsh_rules import Rules

triton = pytest.importorskip("triton")
HERE = Path(__file__).parent
# Bytes of shared memory that a program may use, by compute capability.
SHARED_MEMORY = {80: 163 << 10, 86: 99 << 10, 90: 227 << 10, 100: 227 << 10}


def run_interpreted(**environment: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "interpreted_lsh.py")]
    environment = os.environ | {"TRITON_INTERPRET": "1", "REFORMER_LSH": "triton"} | environment
    ended = subprocess.run(
        command, cwd=HERE.parent.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]


def test_equal_to_the_equations_under_the_interpreter():
    run_interpreted(N_EXAMPLES="5")


@pytest.mark.slow
def test_equal_to_the_equations_in_many_configurations():
    run_interpreted(N_EXAMPLES="200")


class AbsentDevice:
    """A driver of Triton for a device that exists only by its capability."""

    def __init__(self, capability):
        from triton.backends.compiler import GPUTarget

        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


@pytest.fixture
def compiled(monkeypatch):
    """Collects kernels that are launched, by name, and compiles them instead of running them."""
    kernels = {}

    def launch(kernel, grid):
        return lambda *given, **named: kernels.update({kernel.fn.__name__: kernel.warmup(*given, grid=grid, **named)})

    monkeypatch.setattr(triton.runtime.jit.KernelInterface, "__getitem__", launch)
    return kernels


def stack_bytes(kernel, folder):
    """Bytes of the stack of each thread, where registers are spilled."""
    (folder / "kernel.cubin").write_bytes(kernel.asm["cubin"])
    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    command = [program, "--dump-resource-usage", folder / "kernel.cubin"]
    usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", usage)[1])


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_MEMORY)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("width", [64, 128])
def test_kernels_fit_the_device(compiled, monkeypatch, tmp_path, capability, dtype, width):
    from reformer.model import lsh_triton, lsh_triton_sort

    monkeypatch.setattr(triton.runtime.driver, "_active", AbsentDevice(capability))
    x = torch.zeros(1, 256, 2, width, dtype=dtype).transpose(1, 2)
    rules = Rules(64, True, True, True, "sorted")
    rotations = draw_rotations(x, 1024, 3)
    buckets = lsh_triton_sort.hash_vectors(x, rotations)
    out, lse = lsh_triton.forward(x, x, buckets.zero_(), None, rules)
    lsh_triton.backward(x, x, x, buckets, None, out, lse, rules)
    assert len(compiled) >= 4
    for name, kernel in compiled.items():
        assert kernel.metadata.shared <= SHARED_MEMORY[capability], name
        if width == 64:
            assert stack_bytes(kernel, tmp_path) == 0, name
