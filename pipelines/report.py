"""Judges the paper's claims by the results of the runs in params.yaml, and writes data/report/index.html.

    python pipelines/report.py
    python pipelines/report.py seeds.text=[1,2]
    python pipelines/report.py root=/another/folder/of/results

A claim whose results are missing is "not tested".
"""

from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.schema import listed_runs
from reformer.files import Root
from reformer.report.build import build_report


@command
def main(config: DictConfig) -> None:
    """Builds the report, and prints its place and the number of claims by verdict."""
    root = Root(Path(config.root))
    sampled = [f"{config[kind]}_{name}" for kind in config.samples for name in config.samples[kind]]
    counts = build_report(root, config.profile, listed_runs(config), sampled)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"report: {root.report / 'index.html'}: {verdicts}")


if __name__ == "__main__":
    main()
