"""All held-out curves in one table, for `dvc plots show` and `dvc plots diff`."""

import csv
from pathlib import Path

from reformer.report.results import NotTested, Results


def write_curves(results: Results, path: Path) -> None:
    """Writes one row for each run and step that was scored; runs without a curve are left out."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["data", "run", "seed", "step", "bits_per_dim", "accuracy"])
        for group in results.groups:
            for run in group.present:
                try:
                    bits, accuracy = run.curve("val", "bits_per_dim"), run.curve("val", "accuracy")
                except NotTested:
                    continue
                name = group.name.removeprefix(f"{group.spec.data}_")
                table.writerows([group.spec.data, name, run.seed, step, bits[step], accuracy[step]] for step in bits)
