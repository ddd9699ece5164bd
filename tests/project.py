"""Where the project is, for tests that run its scripts."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "pipelines"))

Script = Callable[..., subprocess.CompletedProcess[str]]
