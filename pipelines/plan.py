"""Prints what `dvc repro` would train, and what each run would take: parameters, tokens, operations, memory, time.

    python pipelines/plan.py                                             what params.yaml says
    python pipelines/plan.py profile=paper text=enwik8 images=imagenet64
    python pipelines/plan.py profile=paper plan.teraflops=8 plan.price_per_hour=2.5

Trains nothing and needs no data. How many operations a device does in a second (`plan.teraflops`) is an assumption: training
the same run for twenty steps shows the tokens of a second, and so the true number.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from command import command
from compose import listed_runs
from omegaconf import DictConfig
from schema import Plan, typed
from sweep_table import markdown

from reformer.settings import require
from reformer.training.config import RunConfig
from reformer.training.fingerprint import finished

if TYPE_CHECKING:
    from reformer.evaluation.plan import RunPlan

ASSUMED = """\
FLOPs: matrix products of all training steps, attention and hashing among them, and what reversible layers and chunks compute
again; without looks at held-out data, evaluations and benchmarks. GB, 10^9 bytes: of each device at the height of a step, in
float32, without the libraries (a CPU process holds about 0.9 GB of them)."""


@command
def main(config: DictConfig) -> None:
    """Checks the settings of all runs, then prints the table."""
    assumed = typed(config, "plan")
    runs = [run for _, run in listed_runs(config)]
    require(bool(runs), "runs", "lists of which one at least has a run", "none")
    from reformer.evaluation.plan import plan_run  # torch loads here, after the check

    plans = [plan_run(run) for run in runs]
    print(f"profile {config.profile}: {len(plans)} runs\n\n{_table(plans, assumed)}\n{ASSUMED}")
    print(f"Device-hours: at plan.teraflops={assumed.teraflops:g}, {_origin(runs, plans)}.")


def _table(plans: Sequence["RunPlan"], assumed: Plan) -> str:
    """A line for each run, and their sum."""
    head = ["run", "parameters", "tokens a step", "steps", "tokens", "FLOPs", f"GB: {' + '.join(plans[0].memory)}"]
    lines = [[*head, "devices", "device-hours"]]
    for plan in plans:
        sizes = " + ".join(f"{size / 1e9:.2f}" for size in plan.memory.values())
        counts = [f"{count:,}" for count in (plan.n_parameters, plan.tokens_per_step, plan.steps, plan.tokens)]
        memory = f"{sizes} = {sum(plan.memory.values()) / 1e9:.2f}"
        hours = _in_hours(plan.device_hours(assumed.teraflops))
        lines.append([plan.name, *counts, f"{plan.flops:.2e}", memory, str(plan.devices), hours])
    hours = _in_hours(sum(plan.device_hours(assumed.teraflops) for plan in plans))
    tokens, flops = sum(plan.tokens for plan in plans), sum(plan.flops for plan in plans)
    most = max(sum(plan.memory.values()) for plan in plans)
    lines.append(["all", "", "", "", f"{tokens:,}", f"{flops:.2e}", f"at most {most / 1e9:.2f}", "", hours])
    if assumed.price_per_hour:
        prices = [plan.device_hours(assumed.teraflops) * assumed.price_per_hour for plan in plans]
        column = ["price", *(f"{price:,.2f}" for price in [*prices, sum(prices)])]
        lines = [[*line, cell] for line, cell in zip(lines, column, strict=True)]
    return markdown(lines)


def _in_hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _origin(runs: Sequence[RunConfig], plans: Sequence["RunPlan"]) -> str:
    """Where the number of operations a second is from, and what those of these runs did that have been trained."""
    rates = []
    for run, plan in zip(runs, plans, strict=True):
        measured = Path(run.root) / "runs" / run.name / "environment.json"
        if finished(run) and measured.is_file():
            tokens_per_second = json.loads(measured.read_text(encoding="utf-8"))["tokens_per_second"]
            rates.append(tokens_per_second * plan.flops_per_step / plan.tokens_per_step / plan.devices / 1e12)
    if not rates:
        return "an assumption: none of these runs has been trained here"
    return (
        f"an assumption; the {len(rates)} of these runs that were trained here did {min(rates):.3g} to {max(rates):.3g}"
    )


if __name__ == "__main__":
    main()
