"""The measured numbers of claims about trained networks. Each function raises NotTested where its number is missing."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from reformer.report.evidence.measured import Measured, over_seeds
from reformer.report.evidence.results import NotLearned, NotTested, Results, Run, RunGroup
from reformer.runs.listed import ListedRuns

MARGIN = 0.2
"""Bits/dim by which a network must beat the simplest model of its data, before a claim compares what it has learned."""
COPIES = 0.9
"""Least accuracy of a network that counts as copying."""
GAIN = 0.01
"""Least gain in accuracy from one round at evaluation to eight. A network that misses less with one round cannot gain it."""


class Scores:
    """Test scores of the networks of one kind of data that have learned.

    Args:
        results: all results.
        kind: text or images.
    """

    def __init__(self, results: Results, kind: str) -> None:
        self.model, bits = next(iter(results.simple(kind).items()))
        self.most = bits - MARGIN

    def of(self, run: Run) -> float:
        """Test bits/dim of a run; raises NotLearned unless it beats the simple model by the margin."""
        whole = run.resampled(None).score("trained")
        if not whole <= self.most:  # NaN has not learned either
            raise NotLearned(
                f"{run.name} has {whole:.3f} bits/dim after so few steps: only networks count that beat the table of "
                f"{self.model} by {MARGIN:g}, with at most {self.most:.3f}"
            )
        return run.score("trained")

    def difference(self, one: Run, other: Run) -> float:
        """Test bits/dim of a run minus those of another."""
        return self.of(one) - self.of(other)


def copy_accuracy(results: Results, trained: str, evaluated: str) -> Measured:
    """Accuracy on the duplication task by the attention of training and of evaluation."""
    groups = results.select(ListedRuns.find, "duplication", trained)
    return over_seeds(groups, lambda run: copier(run).score(evaluated, "accuracy"))


def copies(run: Run) -> bool:
    """Returns whether a network copies with the attention of its training or with eight rounds."""
    found, whole = [], run.resampled(None)
    for attention in (run.spec.attention, "lsh-8"):
        with suppress(NotTested):
            found.append(whole.score(attention, "accuracy"))
    if not found:
        raise NotTested(f"{run.name} was not evaluated with {run.spec.attention} or lsh-8")
    return max(found) >= COPIES


def copier(run: Run) -> Run:
    """The run; raises NotLearned unless it copies."""
    if not copies(run):
        raise NotLearned(
            f"{run.name} has not learned to copy: it reaches {100 * COPIES:g} % neither with its own attention nor with LSH-8"
        )
    return run


def best_copy_of_lsh(results: Results, evaluated: str) -> Measured:
    """Highest accuracy with another attention of the LSH-trained models."""
    groups = results.select(ListedRuns.by_rounds, "duplication")
    return over_seeds(groups, lambda *runs: max(copier(run).score(evaluated, "accuracy") for run in runs))


def gain_from_rounds(results: Results) -> Measured:
    """Least gain in accuracy from one round at evaluation to eight, of the LSH-trained models that can gain."""

    def least(*runs: Run) -> float:
        pairs = [(copier(run).score("lsh-1", "accuracy"), run.score("lsh-8", "accuracy")) for run in runs]
        gains = [after - before for before, after in pairs if 1 - before >= GAIN]
        if not gains:
            raise NotTested(
                f"no LSH-trained model misses {100 * GAIN:g} % or more with one round: more rounds have nothing to gain"
            )
        return min(gains)

    return over_seeds(results.select(ListedRuns.by_rounds, "duplication"), least)


def worst_doubling(results: Results) -> Measured:
    """Least change in accuracy when the rounds at evaluation double, of the LSH-trained models."""

    def worst(run: Run) -> float:
        accuracies = [copier(run).score(f"lsh-{rounds}", "accuracy") for rounds in (1, 2, 4, 8)]
        return min(after - before for before, after in pairwise(accuracies))

    return over_seeds(results.select(ListedRuns.by_rounds, "duplication"), lambda *runs: min(map(worst, runs)))


def against_transformer(results: Results, kind: str) -> Measured:
    """Bits/dim of the Reformer minus those of the Transformer, paired by seed."""
    groups = results.select(ListedRuns.against_transformer, kind)
    return over_seeds(groups, Scores(results, kind).difference)


def twin_difference(results: Results, kind: str, attribute: str) -> Measured:
    """Bits/dim of the network that has an attribute minus those of its twin without it, paired by seed."""
    return over_seeds(results.select(ListedRuns.twins, kind, attribute), Scores(results, kind).difference)


def half_way_difference(results: Results, kind: str, attribute: str) -> Measured:
    """Validation bits/dim half-way through the training of the network with an attribute, minus those of its twin."""
    scores = Scores(results, kind)

    def difference(*runs: Run) -> float:
        for run in runs:
            scores.of(run)
        curves = [run.validation("bits_per_dim") for run in runs]
        half = max(step for step in curves[0] if step <= max(curves[0]) / 2)
        one, other = (curve[half] for curve in curves)
        return one - other

    return over_seeds(results.select(ListedRuns.twins, kind, attribute), difference)


def eight_rounds_against_full(results: Results) -> Measured:
    """Relative rise in bits/dim of the LSH run with 8 rounds, or else with the most, over full attention."""
    trained = results.select(ListedRuns.by_rounds, "images")
    lsh = next((group for group in trained if group.spec.n_hashes == 8), trained[-1])
    pair, scores = [lsh, *results.select(ListedRuns.find, "images", "full")], Scores(results, "images")
    measured = over_seeds(pair, lambda one, other: scores.of(one) / scores.of(other) - 1)
    rounds = lsh.spec.n_hashes
    return measured if rounds == 8 else replace(measured, source=f"with {rounds} rounds, the most trained")


def gain_from_training_rounds(results: Results) -> Measured:
    """Bits/dim of the run with the fewest rounds minus those of the run with the most."""
    groups = results.select(ListedRuns.by_rounds, "images")
    if len(groups) < 2:
        raise NotTested("only one number of rounds is trained on images")
    return over_seeds([groups[0], groups[-1]], Scores(results, "images").difference)


def gain_along(results: Results, kind: str, setting: str) -> Measured:
    """Bits/dim of the run with the least value of a setting minus those of the run with the greatest."""
    groups = results.along(kind, setting)
    return over_seeds([groups[0], groups[-1]], Scores(results, kind).difference)


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
        trained = copier(run).score("trained") if run.kind == "duplication" else Scores(results, run.kind).of(run)
        return run.score("off") - trained

    costs: list[tuple[str, Measured]] = []
    reason = NotTested("no network with LSH layers was trained")
    for group in evaluated_without_lsh(results.select(ListedRuns.hashing)):  # one by one: their seeds may differ
        try:
            costs.append((group.name, over_seeds([group], cost)))
        except NotTested as missing:
            reason = missing
    if not costs:
        raise reason
    return min(costs, key=lambda found: (found[1].interval[0], found[1].mean, found[0]))[1]
