"""Work on several runs at a time, each in a process of its own."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from reformer.processes import end_with_parent
from reformer.runs.config import RunConfig

PRELOADED = ["reformer.training.train", "reformer.evaluation.evaluate", "torch._dynamo"]
"""Modules that the work needs. One process imports them, and the others are its forks."""


def side_by_side(work: Callable[[RunConfig], object], runs: Sequence[RunConfig], at_once: int) -> list[str]:
    """Does the work of each run in a process of its own. A run that fails does not stop the others.

    Args:
        work: a function of a module, which reports its own errors and exits with a status other than 0 after one.
        runs: the runs, in the order in which they start.
        at_once: number of processes at a time.

    Returns:
        The names of the runs that failed.
    """
    context, waiting, failed = _fresh_processes(), deque(runs), []
    running: dict[object, tuple[RunConfig, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                run = waiting.popleft()
                process = context.Process(target=_child, args=(work, run))  # type: ignore[attr-defined]
                process.start()
                running[process.sentinel] = run, process
            for ended in wait([process.sentinel for _, process in running.values()]):
                run, process = running.pop(ended)
                process.join()
                if process.exitcode:
                    failed.append(run.name)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()
    return failed


def places(threads: int) -> int:
    """Returns the number of runs that the cores can train at a time.

    Args:
        threads: threads of each run; 0 stands for all cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads) if threads else 1


def begin_loading() -> None:
    """Starts to import the modules of the work in the background, for the processes of a later `side_by_side`."""
    if _fresh_processes().get_start_method() == "forkserver":
        forkserver.ensure_running()


def _fresh_processes() -> BaseContext:
    if "forkserver" not in get_all_start_methods():  # Windows
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _child(work: Callable[[RunConfig], object], run: RunConfig) -> None:
    end_with_parent()
    os.environ["TTY_COMPATIBLE"] = "0"  # the progress bars of several processes would overwrite each other: print lines
    work(run)
