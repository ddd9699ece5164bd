"""Puts what reports found into README.md, in the place of each one's profile.

    python pipelines/readme.py data/report/results.md
    python pipelines/readme.py data/report/results.md /another/folder/report/results.md

A table stands between the two comments that results.md begins and ends with: bring them to README.md once by hand.
"""

import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def put(table: str, text: str) -> str:
    """The text with the table in the place of the one between the same comments; ValueError where there is none."""
    first, *_, last = table.strip().splitlines()
    before, _, rest = text.partition(first)
    old, found, after = rest.partition(last)
    if not found or not old:
        raise ValueError(f"it needs two lines, {first} and {last}, where the table shall be")
    return before + table.strip() + after


def main(paths: list[str]) -> None:
    """Puts the tables in these files into the README."""
    if not paths or {"-h", "--help"} & set(paths):
        sys.exit(__doc__)
    text = README.read_text(encoding="utf-8")
    for path in paths:
        try:
            text = put(Path(path).read_text(encoding="utf-8"), text)
        except (OSError, ValueError) as error:
            sys.exit(f"error: {README.name}, {path}: {error}")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
