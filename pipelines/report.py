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

from reformer.report.build import build_report


@command
def main(config: DictConfig) -> None:
    """Builds the report, and says where it is and how many claims it found to hold."""
    root = Path(config.root)
    data_sets = {"duplication": "duplication", "text": config.text, "images": config.images}
    runs = {
        f"{data}_{name}": list(config.seeds[kind]) for kind, data in data_sets.items() for name in config.runs[kind]
    }
    build_report(root, config.profile, runs)
    n = json.loads((root / "report" / "claims.json").read_text(encoding="utf-8"))["counts"]
    print(
        f"report: {root / 'report' / 'index.html'}: {', '.join(f'{count} {verdict}' for verdict, count in n.items())}"
    )


if __name__ == "__main__":
    main()
