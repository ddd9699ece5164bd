"""The measured numbers of claims about trained networks. Each function raises NotTested where its number is missing."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from reformer.report.evidence.measured import Measured, over_seeds
from reformer.report.evidence.results import LearnedNothing, NotTested, Results, Run, RunGroup
from reformer.runs.listed import ListedRuns

PARITY_LIMIT = 0.02
"""Bits/dim within which two networks count as equally good."""
UNIFORM = 8.0
"""Bits/dim of a uniform guess of a byte. Claims do not compare networks that are no better."""
COPIES = 0.9
"""Least accuracy of a network that counts as copying."""
GAIN = 0.01
"""Least gain in accuracy from one round at evaluation to eight. A network that misses less with one round cannot gain it."""


def scores(*runs: Run) -> list[float]:
    """Test bits/dim of compared runs; raises LearnedNothing unless each of them is better than guessing."""
    for run in runs:
        if not learned(run):
            raise LearnedNothing(
                f"{run.name} is no better than a uniform guess, {UNIFORM:g} bits/dim, on the test split of {run.spec.data}"
            )
    return [run.score("trained") for run in runs]


def learned(run: Run) -> bool:
    """Returns whether a network copies (duplication task) or is better than guessing; NaN is not."""
    return copies(run) if run.kind == "duplication" else run.score("trained") < UNIFORM


def difference(one: Run, other: Run) -> float:
    """Test bits/dim of a run minus those of another."""
    first, second = scores(one, other)
    return first - second


def copy_accuracy(results: Results, trained: str, evaluated: str) -> Measured:
    """Accuracy on the duplication task by the attention of training and of evaluation."""
    group = results.select(ListedRuns.find, "duplication", trained)
    return over_seeds(group, lambda run: run.score(evaluated, "accuracy"))


def copies(run: Run) -> bool:
    """Returns whether a network copies with the attention of its training or with eight rounds."""
    found = []
    for attention in (run.spec.attention, "lsh-8"):
        with suppress(NotTested):
            found.append(run.score(attention, "accuracy"))
    if not found:
        raise NotTested(f"{run.name} was not evaluated with {run.spec.attention} or lsh-8")
    return max(found) >= COPIES


def copiers(runs: Iterable[Run]) -> list[Run]:
    """The runs that copy; raises NotTested if none does."""
    found = [run for run in runs if copies(run)]
    if not found:
        raise NotTested(f"no LSH-trained model copies: none reaches {100 * COPIES:g} % with its own attention or LSH-8")
    return found


def best_copy_with_full_attention(results: Results) -> Measured:
    """Highest accuracy with full attention of the LSH-trained models that copy."""
    groups = results.select(ListedRuns.by_rounds, "duplication")
    return over_seeds(groups, lambda *runs: max(run.score("full", "accuracy") for run in copiers(runs)))


def gain_from_rounds(results: Results) -> Measured:
    """Least gain in accuracy from one round at evaluation to eight, of the LSH-trained models that can gain."""

    def least(*runs: Run) -> float:
        pairs = [(run.score("lsh-1", "accuracy"), run.score("lsh-8", "accuracy")) for run in runs]
        gains = [after - before for before, after in pairs if 1 - before >= GAIN]
        if not gains:
            raise NotTested(
                f"no LSH-trained model misses {100 * GAIN:g} % or more with one round: more rounds have nothing to gain"
            )
        return min(gains)

    return over_seeds(results.select(ListedRuns.by_rounds, "duplication"), least)


def worst_doubling(results: Results) -> Measured:
    """Least change in accuracy when the rounds at evaluation double, of the LSH-trained models that copy."""

    def worst(run: Run) -> float:
        accuracies = [run.score(f"lsh-{rounds}", "accuracy") for rounds in (1, 2, 4, 8)]
        return min(after - before for before, after in pairwise(accuracies))

    groups = results.select(ListedRuns.by_rounds, "duplication")
    return over_seeds(groups, lambda *runs: min(map(worst, copiers(runs))))


def twin_difference(results: Results, kind: str, attribute: str) -> Measured:
    """Bits/dim of the network that has an attribute minus those of its twin without it, paired by seed."""
    return over_seeds(results.select(ListedRuns.twins, kind, attribute), difference)


def eight_rounds_against_full(results: Results) -> Measured:
    """Relative rise in bits/dim of the LSH run with 8 rounds, or else with the most, over full attention."""
    trained = results.select(ListedRuns.by_rounds, "images")
    lsh = next((group for group in trained if group.spec.n_hashes == 8), trained[-1])
    pair = [lsh, *results.select(ListedRuns.find, "images", "full")]
    measured = over_seeds(pair, lambda *runs: scores(*runs)[0] / scores(*runs)[1] - 1)
    rounds = lsh.spec.n_hashes
    return measured if rounds == 8 else replace(measured, source=f"with {rounds} rounds, the most trained")


def gain_from_training_rounds(results: Results) -> Measured:
    """Bits/dim of the run with the fewest rounds minus those of the run with the most."""
    groups = results.select(ListedRuns.by_rounds, "images")
    if len(groups) < 2:
        raise NotTested("only one number of rounds is trained on images")
    return over_seeds([groups[0], groups[-1]], difference)


def gain_along(results: Results, kind: str, setting: str) -> Measured:
    """Bits/dim of the run with the least value of a setting minus those of the run with the greatest."""
    groups = results.along(kind, setting)
    return over_seeds([groups[0], groups[-1]], difference)


def evaluated_without_lsh(groups: Iterable[RunGroup]) -> list[RunGroup]:
    """The groups that were also evaluated with their LSH layers switched off."""
    found = []
    for group in groups:
        with suppress(NotTested):
            over_seeds([group], lambda run: run.score("off"))
            found.append(group)
    if not found:
        raise NotTested("no run was evaluated with its LSH layers switched off")
    return found


def cost_of_lsh_off(results: Results) -> Measured:
    """Least rise in bits/dim, among the networks that have learned, when their LSH layers are switched off."""

    def cost(run: Run) -> float:
        if not learned(run):
            raise NotTested(f"{run.name} has not learned enough")
        return run.score("off") - run.score("trained")

    costs = []
    for group in evaluated_without_lsh(results.select(ListedRuns.hashing)):  # one by one: their seeds may differ
        with suppress(NotTested):
            costs.append(over_seeds([group], cost))
    if not costs:
        raise NotTested(f"no network with LSH layers copies or beats a uniform guess, {UNIFORM:g} bits/dim")
    return min(costs, key=lambda measured: (measured.interval[0], measured.values))
