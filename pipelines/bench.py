"""Compares the speed and memory of this project with two other Reformers and with full attention, for `make bench`.

Writes the measurements to data/benchmarks/side_by_side.json, and a table (.md) and a figure (.png) made from them. The table
includes the steps on a million tokens and at the paper's size, if pipelines/benchmark.py has measured them.
"""

from pathlib import Path

from omegaconf import DictConfig

from cli.command import command, command_line
from reformer.files import Root, read_json, write_text


@command
def main(config: DictConfig) -> None:
    """Measures everything, then writes the table and the figure."""
    from reformer.bench.config import ONE_STEP
    from reformer.bench.side_by_side import Sizes, run_side_by_side
    from reformer.report.display.bench_table import curve_figure, markdown
    from reformer.report.display.figures import draw_figure

    path = Root(Path(config.root)).benchmark("side_by_side")
    content = run_side_by_side(Sizes(), path, command_line(__file__))
    files = [path.with_name(f"{name}.json") for name in ONE_STEP]
    steps = [read_json(file) for file in files if file.is_file()]
    table = markdown(content, steps)
    begin, end = "<!-- results of make bench, by make results -->", "<!-- end of the results of make bench -->"
    write_text(path.with_suffix(".md"), f"{begin}\n\n{table}\n{end}\n")  # pipelines/readme.py finds the table by these
    draw_figure(curve_figure(content), path.with_suffix(".png"))
    print(f"\n{table}\n{path}, {path.with_suffix('.md').name}, {path.with_suffix('.png').name}")


if __name__ == "__main__":
    main()
