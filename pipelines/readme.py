"""Puts tables of results into README.md.

    python pipelines/readme.py data/report/results.md
    python pipelines/readme.py data/report/results.md /another/folder/report/results.md

Each file begins and ends with a comment. The table replaces the lines between the same two comments in README.md.
"""

import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def put(table: str, text: str) -> str:
    """Replaces the table between the same two comments of the text; raises ValueError if the text lacks them."""
    first, *_, last = table.strip().splitlines()
    before, _, rest = text.partition(first)
    old, found, after = rest.partition(last)
    if not found or not old:
        raise ValueError(f"put the two lines {first} and {last} where the table belongs")
    return before + table.strip() + after


def main(paths: list[str]) -> None:
    """Puts the tables of these files into the README."""
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
