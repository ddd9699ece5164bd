"""The device that computes, and the description of machine, code and time that accompanies every measurement."""

import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from reformer.settings import require

CODE = (":/src", ":/pipelines", ":/conf")
"""Folders at the top of the repository that a result depends on. `dvc exp run` writes params.yaml, so it is left out."""


def choose_device(accelerator: str) -> torch.device:
    """Chooses the device for a setting: cpu, gpu, or auto, which takes a GPU if there is one.

    Only NVIDIA GPUs count. Others, such as Apple's, lack float64, in which scores are summed.

    Raises:
        SettingError: the setting is gpu and there is none.
    """
    found = torch.cuda.is_available()
    allowed = "cpu or auto on a machine without an NVIDIA GPU"
    require(found or accelerator != "gpu", "accelerator", allowed, accelerator)
    return torch.device("cuda" if found and accelerator != "cpu" else "cpu")


def use_threads(threads: int) -> None:
    """Sets the number of CPU threads that compute; 0 leaves PyTorch's choice."""
    if threads:
        torch.set_num_threads(threads)


def environment(device: torch.device, command: str) -> dict[str, Any]:
    """Collects command, commit, device, versions and time."""
    return {
        "command": command,
        "commit": commit_of(),
        "device": device_name(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def device_name(device: torch.device) -> str:
    """Returns the manufacturer's name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def peak_bytes(device: torch.device) -> int:
    """Returns the peak memory so far: of tensors on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):  # ru_maxrss also includes the peak of the parent process
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def commit_of(here: Path = Path(__file__).parent) -> str:
    """Returns the commit of the repository around a folder, with "+changes" if code or settings differ from it."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        status = ["git", "status", "--porcelain", "--", *CODE]
        changed = subprocess.run(status, cwd=here, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+changes" if changed else "")
