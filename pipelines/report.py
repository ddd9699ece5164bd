"""Holds the paper's claims against what the runs of params.yaml measured, and writes data/report/index.html.

    python pipelines/report.py
    python pipelines/report.py seeds.text=[1,2]
    python pipelines/report.py root=/another/folder/of/results

What is missing makes its claims "not tested".
"""

import json
from pathlib import Path

from command import command
from omegaconf import DictConfig
from schema import seeds_by_run

from reformer.report.build import build_report


@command
def main(config: DictConfig) -> None:
    """Builds the report, and says where it is and how many claims it found to hold."""
    root = Path(config.root)
    sampled = [f"{config[kind]}_{name}" for kind in config.samples for name in config.samples[kind]]
    build_report(root, config.profile, seeds_by_run(config), sampled)
    n = json.loads((root / "report" / "claims.json").read_text(encoding="utf-8"))["counts"]
    print(
        f"report: {root / 'report' / 'index.html'}: {', '.join(f'{count} {verdict}' for verdict, count in n.items())}"
    )


if __name__ == "__main__":
    main()
