"""Prints the runs that `dvc repro` would train, with parameters, tokens, operations, memory and time of each.

    python pipelines/plan.py
    python pipelines/plan.py profile=paper text=enwik8 images=imagenet64
    python pipelines/plan.py profile=paper plan.teraflops=8 plan.price_per_hour=2.5

Trains nothing and needs no data. The speed of a device (`plan.teraflops`) is an assumption. To measure it, train the same run
for twenty steps: the plan then prints the speed that was reached.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compose import composed_runs
from omegaconf import DictConfig

from cli.command import command
from cli.schema import PlanConfig, checked_section
from reformer.files import read_json
from reformer.markdown import markdown_table
from reformer.runs.config import RunConfig
from reformer.runs.fingerprint import finished
from reformer.settings import require

if TYPE_CHECKING:
    from reformer.bench.plan import RunPlan

EXPLANATION = """\
FLOPs count the matrix products of all training steps, including attention, hashing and the recomputation by reversible layers
and chunks. They exclude validation, evaluation and benchmarks. GB (10^9 bytes) are the peak of a step on each device in
float32, without the libraries (about 0.9 GB in a CPU process)."""


@command
def main(config: DictConfig) -> None:
    """Checks the settings of all runs, then prints the table."""
    assumed = checked_section(config, "plan")
    runs = [run for _, run in composed_runs(config)]
    require(bool(runs), "runs", "lists with at least one run", "none")
    from reformer.bench.plan import plan_run  # torch loads here, after the check

    plans = [plan_run(run) for run in runs]
    print(f"profile {config.profile}: {len(plans)} runs\n\n{_table(plans, assumed)}\n{EXPLANATION}")
    print(f"Device-hours: at plan.teraflops={assumed.teraflops:g}, {_origin(runs, plans)}.")


def _table(plans: Sequence["RunPlan"], assumed: PlanConfig) -> str:
    """A row for each run, and a row for their sum."""
    head = ["run", "parameters", "tokens a step", "steps", "tokens", "FLOPs", f"GB: {' + '.join(plans[0].memory)}"]
    lines = [[*head, "devices", "device-hours"]]
    for plan in plans:
        sizes = " + ".join(f"{size / 1e9:.2f}" for size in plan.memory.values())
        counts = [f"{count:,}" for count in (plan.n_parameters, plan.tokens_per_step, plan.steps, plan.tokens)]
        memory = f"{sizes} = {sum(plan.memory.values()) / 1e9:.2f}"
        hours = _format_hours(plan.device_hours(assumed.teraflops))
        lines.append([plan.name, *counts, f"{plan.flops:.2e}", memory, str(plan.devices), hours])
    hours = _format_hours(sum(plan.device_hours(assumed.teraflops) for plan in plans))
    tokens, flops = sum(plan.tokens for plan in plans), sum(plan.flops for plan in plans)
    most = max(sum(plan.memory.values()) for plan in plans)
    lines.append(["all", "", "", "", f"{tokens:,}", f"{flops:.2e}", f"at most {most / 1e9:.2f}", "", hours])
    if assumed.price_per_hour:
        prices = [plan.device_hours(assumed.teraflops) * assumed.price_per_hour for plan in plans]
        column = ["price", *(f"{price:,.2f}" for price in [*prices, sum(prices)])]
        lines = [[*line, cell] for line, cell in zip(lines, column, strict=True)]
    return markdown_table(lines[0], lines[1:]) + "\n"


def _format_hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _origin(runs: Sequence[RunConfig], plans: Sequence["RunPlan"]) -> str:
    """Explains the assumed speed, and adds the measured speed of the runs that were trained on this machine."""
    rates = []
    for run, plan in zip(runs, plans, strict=True):
        if finished(run) and run.files.environment.is_file():
            tokens_per_second = read_json(run.files.environment)["tokens_per_second"]
            rates.append(tokens_per_second * plan.flops_per_step / plan.tokens_per_step / plan.devices / 1e12)
    if not rates:
        return "an assumption: none of these runs has been trained here"
    return f"an assumption; {len(rates)} of these runs were trained here, at {min(rates):.3g} to {max(rates):.3g}"


if __name__ == "__main__":
    main()
