"""Measures this project beside two other Reformers and full attention; `make bench` runs it where they are installed.

Also shows the steps on a million tokens and at the paper's size, if they have been taken (pipelines/benchmark.py).
Writes data/benchmarks/side_by_side.json, the table made from it (.md) and its picture (.png), and prints the table.
"""

import json
from pathlib import Path

from command import command, command_line
from omegaconf import DictConfig


@command
def main(config: DictConfig) -> None:
    """Measures, then draws and prints what was measured."""
    from reformer.evaluation.config import ONE_STEP
    from reformer.evaluation.side_by_side import Sizes, run_side_by_side
    from reformer.report.figures import draw_figure
    from reformer.report.side_by_side import curve_figure, markdown

    path = Path(config.root) / "benchmarks" / "side_by_side.json"
    content = run_side_by_side(Sizes(), path, command_line(__file__))
    files = [path.with_name(f"{name}.json") for name in ONE_STEP]
    steps = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    table = markdown(content, steps)
    for_readme = (
        f"<!-- results of make bench, by make results -->\n\n{table}\n<!-- end of the results of make bench -->\n"
    )
    path.with_suffix(".md").write_text(for_readme, encoding="utf-8")
    draw_figure(curve_figure(content), path.with_suffix(".png"))
    print(f"\n{table}\n{path}, {path.with_suffix('.md').name}, {path.with_suffix('.png').name}")


if __name__ == "__main__":
    main()
