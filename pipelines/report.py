"""Judges the paper's claims by the results of the listed runs, and writes data/report/index.html.

    python pipelines/report.py
    python pipelines/report.py root=/another/folder/of/results
    python pipelines/report.py --against other/claims.json
    python pipelines/report.py --against main~3

With --against, it also prints which verdicts differ from those of another claims.json, or of a revision that DVC has.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.schema import PROJECT, checked_section, compose_usual, listed_runs
from reformer.files import DataError, Root, read_json
from reformer.report.against import differences
from reformer.report.build import build_report
from reformer.report.evidence.results import Results

CLAIMS = "claims.json"
against = ""


@command
def main(config: DictConfig) -> None:
    """Builds the report, and prints its place and the number of claims by verdict."""
    root = Root(Path(config.root))
    other = _claims_of(against) if against else None
    sampled = [f"{config[kind]}_{name}" for kind in config.samples for name in config.samples[kind]]
    million = checked_section(compose_usual(["benchmark=million"]), "benchmark")
    counts = build_report(Results(root, config.profile, listed_runs(config), million), sampled)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"report: {root.report / 'index.html'}: {verdicts}")
    if other is not None:
        lines = list(differences(read_json(root.report / CLAIMS), other))
        print(f"against {against}:", *(lines or ["no verdict differs"]), sep="\n  ")


def _claims_of(place: str) -> dict[str, object]:
    """Reads a claims.json: the file, that of a report's folder, or that of a revision."""
    path = Path(place)
    if path.is_dir():
        path /= CLAIMS
    if path.is_file():
        return read_json(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / CLAIMS
        command_line = [sys.executable, "-m", "dvc", "get", "-q", str(PROJECT), f"data/report/{CLAIMS}"]
        done = subprocess.run(
            [*command_line, "--rev", place, "-o", str(copy)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["DVC gave no reason"])[-1]
            raise DataError(
                f"--against {place} is neither a claims.json nor a revision whose report DVC has ({reason})"
            )
        return dict(json.loads(copy.read_text(encoding="utf-8")))


def _option(name: str) -> str:
    """Takes an option with its value out of the command line, which Hydra reads; empty without it."""
    if name not in sys.argv:
        return ""
    at = sys.argv.index(name)
    value = sys.argv[at + 1] if at + 1 < len(sys.argv) else ""
    del sys.argv[at : at + 2]
    if not value:
        sys.exit(f"error: {name} needs a claims.json or a revision")
    return value


if __name__ == "__main__":
    against = _option("--against")
    main()
