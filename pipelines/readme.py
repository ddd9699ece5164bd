"""Puts tables of results into README.md and docs/.

    python pipelines/readme.py data/report/results.md data/report/verdicts.md
    python pipelines/readme.py /another/folder/report/results.md

Each file begins and ends with a comment. It replaces the lines between the same two comments, in the page that has them.
Below results of data/report, it notes the report's digest in dvc.lock, so that a test can tell whether the two belong together.
"""

import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]

PROJECT = Path(__file__).parents[1]
REPORT, LOCK = PROJECT / "data" / "report", PROJECT / "dvc.lock"


def put(table: str, text: str) -> str:
    """Replaces the table between the same two comments of the text; raises ValueError if the text lacks them."""
    first, *_, last = table.strip().splitlines()
    before, _, rest = text.partition(first)
    old, found, after = rest.partition(last)
    if not found or not old:
        raise ValueError(f"put the two lines {first} and {last} where the table belongs")
    return before + table.strip() + after


def page_with(first: str) -> Path:
    """Returns the page that has this line; raises ValueError unless there is exactly one."""
    pages = [page for page in pages_of_project() if first in page.read_text(encoding="utf-8").splitlines()]
    if len(pages) != 1:
        raise ValueError(f"{len(pages)} pages have the line {first}, and one must: README.md or one of docs/")
    return pages[0]


def pages_of_project() -> list[Path]:
    """The pages in which tables are put."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def with_digest(table: str) -> str:
    """Adds the digest that dvc.lock has for the report, before the last line; raises ValueError if it has none."""
    stages = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"] if LOCK.is_file() else {}
    outs = stages.get("report", {}).get("outs", [])
    if not outs:
        raise ValueError(f"{LOCK.name} has no report: run make repro first")
    lines = table.strip().splitlines()
    return "\n".join([*lines[:-1], f"The report in `dvc.lock`: `{outs[0]['md5']}`.", "", lines[-1]])


def main(paths: list[str]) -> None:
    """Puts the tables of these files into their pages."""
    if not paths or {"-h", "--help"} & set(paths):
        sys.exit(__doc__)
    for path in paths:
        try:
            table = Path(path).read_text(encoding="utf-8")
            if Path(path).resolve() == REPORT / "results.md":
                table = with_digest(table)
            page = page_with(table.strip().splitlines()[0])
            page.write_text(put(table, page.read_text(encoding="utf-8")), encoding="utf-8")
        except (OSError, ValueError, IndexError) as error:
            sys.exit(f"error: {path}: {error}")
        print(f"{path} -> {page.relative_to(PROJECT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
