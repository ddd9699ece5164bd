"""All validation curves in one table, for `dvc plots show` and `dvc plots diff`."""

import csv
import io

from reformer.report.evidence.results import NotTested, Results


def curves_as_csv(results: Results) -> str:
    """One row for each run and validation. Leaves out runs without a curve."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["data", "run", "seed", "step", "bits_per_dim", "accuracy"])
    for group in results.groups:
        for run in group.trained:
            try:
                bits, accuracy = run.validation("bits_per_dim"), run.validation("accuracy")
            except NotTested:
                continue
            name = group.name.removeprefix(f"{group.spec.data}_")
            table.writerows([group.spec.data, name, run.seed, step, bits[step], accuracy[step]] for step in bits)
    return text.getvalue()
