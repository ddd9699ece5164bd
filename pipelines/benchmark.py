"""Measures time and peak memory of a training step, and writes data/benchmarks/<its name>.json.

python pipelines/benchmark.py benchmark=speed_by_length
python pipelines/benchmark.py benchmark=memory 'benchmark.depths=[2,4,8]'    each technique on and off
python pipelines/benchmark.py benchmark=million                              one step on 1,048,576 tokens
python pipelines/benchmark.py benchmark=paper_size                           one step of 12 layers of the paper's size
python pipelines/benchmark.py benchmark.tokens=4096 'benchmark.lengths=[512,4096]' root=data/mine
"""

from pathlib import Path

from omegaconf import DictConfig

from cli.command import command, command_line
from cli.schema import checked_section
from reformer.files import Root


@command
def main(config: DictConfig) -> None:
    """Checks the settings, then measures."""
    benchmark, logger = checked_section(config, "benchmark"), checked_section(config, "logger")
    from reformer.bench.benchmark import run_benchmark  # imports torch, so only after the check

    path = Root(Path(config.root)).benchmark(benchmark.name)
    run_benchmark(benchmark, path, command_line(__file__), logger)


if __name__ == "__main__":
    main()
