"""Measures time and peak memory of a training step, and writes data/benchmarks/<its name>.json.

python pipelines/benchmark.py benchmark=speed_by_length
python pipelines/benchmark.py benchmark=memory 'benchmark.depths=[2,4,8]'        each technique on and off
python pipelines/benchmark.py benchmark=million            one step on 1,048,576 tokens; paper_size: 12 layers of the paper's
python pipelines/benchmark.py benchmark.tokens=4096 'benchmark.lengths=[512,4096]' root=data/mine
"""

from pathlib import Path

from command import command, command_line
from omegaconf import DictConfig
from schema import typed


@command
def main(config: DictConfig) -> None:
    """Checks the settings, then measures."""
    benchmark, logger = typed(config, "benchmark"), typed(config, "logger")
    from reformer.evaluation.benchmark import run_benchmark  # torch loads here, after the check

    path = Path(config.root) / "benchmarks" / f"{benchmark.name}.json"
    run_benchmark(benchmark, path, command_line(__file__), logger)


if __name__ == "__main__":
    main()
