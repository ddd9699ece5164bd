"""What is measured for each claim: functions from the results to one number.

Each raises `NotTested` where the profile or a missing file leaves it without a number.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from math import inf, log2

from reformer.report.measured import Measured, over_seeds
from reformer.report.results import IMAGES, TEXTS, LearnedNothing, NotTested, Results, Run, RunGroup

PARITY_LIMIT = 0.02
"""Bits/dim within which two networks count as equally good."""
UNIFORM = 8.0
"""Bits/dim of a model that knows nothing of bytes. To compare networks that have not learned more would say nothing."""
COPIES = 0.9
"""Accuracy from which a network counts as one that has learned to copy."""
GAIN = 0.01
"""Least gain in accuracy from one round at evaluation to eight; who misses less with one round has none to win back."""
EARLY_CROSSING = 4096
"""Tokens from which on LSH attention should be faster than full attention."""


def scores(*runs: Run) -> list[float]:
    """Test bits/dim of runs that are compared; raises LearnedNothing unless each of them is better than guessing."""
    for run in runs:
        if not learned(run):
            what = "text" if run.spec.data in TEXTS else "photos"
            raise LearnedNothing(
                f"{run.folder.name} is no better than a uniform guess, {UNIFORM:g} bits/dim, on its test {what}"
            )
    return [run.score("trained") for run in runs]


def learned(run: Run) -> bool:
    """Whether a network copies, on the duplication task, or is better than guessing; one that diverged is not."""
    return copies(run) if run.spec.data == "duplication" else run.score("trained") < UNIFORM


def difference(one: Run, other: Run) -> float:
    """Test bits/dim of a run less those of another."""
    first, second = scores(one, other)
    return first - second


def copy_accuracy(results: Results, trained: str, evaluated: str) -> Measured:
    """Accuracy on the duplication task by the attention of training and of evaluation."""
    return over_seeds([results.find("duplication", attention=trained)], lambda run: run.score(evaluated, "accuracy"))


def lsh_trained(results: Results, data: str) -> list[RunGroup]:
    """The groups trained with LSH attention on a data set, by rounds."""
    groups = sorted((g for g in results.select(data) if g.spec.n_hashes), key=lambda group: group.spec.n_hashes)
    if not groups:
        raise NotTested(f"no LSH run on {data} in profile {results.profile}")
    return groups


def copies(run: Run) -> bool:
    """Whether a network copies with the attention of its training or with eight rounds."""
    found = []
    for attention in (run.spec.attention, "lsh-8"):
        with suppress(NotTested):
            found.append(run.score(attention, "accuracy"))
    if not found:
        raise NotTested(f"{run.folder.name} was not evaluated with {run.spec.attention} or lsh-8")
    return max(found) >= COPIES


def copiers(runs: Iterable[Run]) -> list[Run]:
    """Those that copy; raises NotTested where none does."""
    found = [run for run in runs if copies(run)]
    if not found:
        raise NotTested(f"no LSH-trained model copies: none reaches {100 * COPIES:g} % with its own attention or LSH-8")
    return found


def best_copy_with_full_attention(results: Results) -> Measured:
    """Highest accuracy under full attention of the LSH-trained models that copy."""
    groups = lsh_trained(results, "duplication")
    return over_seeds(groups, lambda *runs: max(run.score("full", "accuracy") for run in copiers(runs)))


def gain_from_rounds(results: Results) -> Measured:
    """Least gain in accuracy from one round at evaluation to eight, of the LSH-trained models that one round fails."""

    def least(*runs: Run) -> float:
        pairs = [(run.score("lsh-1", "accuracy"), run.score("lsh-8", "accuracy")) for run in runs]
        gains = [after - before for before, after in pairs if 1 - before >= GAIN]
        if not gains:
            raise NotTested(
                f"no LSH-trained model misses {100 * GAIN:g} % or more with one round: there is nothing to win back"
            )
        return min(gains)

    return over_seeds(lsh_trained(results, "duplication"), least)


def worst_doubling(results: Results) -> Measured:
    """Least change in accuracy when the rounds at evaluation double, one to eight, of the LSH-trained models that copy."""

    def worst(run: Run) -> float:
        scores = [run.score(f"lsh-{rounds}", "accuracy") for rounds in (1, 2, 4, 8)]
        return min(after - before for before, after in pairwise(scores))

    return over_seeds(lsh_trained(results, "duplication"), lambda *runs: min(map(worst, copiers(runs))))


def twin_difference(results: Results, data: tuple[str, ...], attribute: str) -> Measured:
    """Bits/dim of the networks that have the attribute less those of their twins without it, paired by seed."""
    return over_seeds(results.twins(results.data(data), attribute), difference)


def eight_rounds_against_full(results: Results) -> Measured:
    """Bits/dim of the LSH run with 8 rounds, or else the most, over those of full attention, less one."""
    data = results.data(IMAGES)
    trained = lsh_trained(results, data)
    lsh = next((group for group in trained if group.spec.n_hashes == 8), trained[-1])
    pair = [lsh, results.find(data, attention="full")]
    measured = over_seeds(pair, lambda *runs: scores(*runs)[0] / scores(*runs)[1] - 1)
    rounds = lsh.spec.n_hashes
    return measured if rounds == 8 else replace(measured, source=f"with {rounds} rounds, the most trained")


def gain_from_training_rounds(results: Results) -> Measured:
    """Bits/dim of the run with the fewest rounds less those of the run with the most."""
    groups = lsh_trained(results, results.data(IMAGES))
    if len(groups) < 2:
        raise NotTested(f"one number of rounds only in profile {results.profile}")
    return over_seeds([groups[0], groups[-1]], difference)


def by_depth(results: Results) -> list[RunGroup]:
    """The groups on text that differ in their number of layers only, shallowest first."""
    data = results.data(TEXTS)
    named = [g for g in results.groups if g.spec.data == data and g.spec.n_layers]
    if not named:
        raise NotTested(f"one depth only in profile {results.profile}")
    like = named[0].spec
    groups = [
        g
        for g in results.groups
        if (g.spec.data, g.spec.attention, g.spec.reversible, g.spec.shared_qk, g.spec.other)
        == (data, like.attention, like.reversible, like.shared_qk, like.other)
    ]
    return sorted(groups, key=_depth)


def _depth(group: RunGroup) -> int:
    """Number of layers; 0 where neither the name nor a file tells it, as before the training."""
    with suppress(NotTested):
        return int(group.spec.n_layers or group.first().train["n_layers"])
    return 0


def gain_from_depth(results: Results) -> Measured:
    """Bits/dim of the shallowest network less those of the deepest."""
    groups = by_depth(results)
    if len(groups) < 2:
        raise NotTested(f"one depth only in profile {results.profile}")
    return over_seeds([groups[0], groups[-1]], difference)


def with_lsh_layers(results: Results) -> list[RunGroup]:
    """The groups whose networks have LSH layers."""
    return [group for group in results.groups if "lsh" in group.spec.attention]


def with_lsh_off(results: Results) -> list[RunGroup]:
    """The groups that were also evaluated with their LSH layers switched off."""

    def switched_off(group: RunGroup) -> bool:
        try:
            return bool(over_seeds([group], lambda run: run.score("off")).values)
        except NotTested:
            return False

    groups = [group for group in with_lsh_layers(results) if switched_off(group)]
    if not groups:
        raise NotTested("no run was evaluated with its LSH layers switched off")
    return groups


def cost_of_lsh_off(results: Results) -> Measured:
    """Least rise in bits/dim when the LSH layers are switched off, of networks that are better than guessing, or copy."""

    def cost(run: Run) -> float:
        if not learned(run):
            raise NotTested(f"{run.folder.name} has not learned enough")
        return run.score("off") - run.score("trained")

    costs = []
    for group in with_lsh_off(results):  # one by one: not all need have the same seeds
        with suppress(NotTested):
            costs.append(over_seeds([group], cost))
    if not costs:
        raise NotTested(f"no network with LSH layers copies or beats a uniform guess, {UNIFORM:g} bits/dim")
    return min(costs, key=lambda measured: measured.interval[0])


Points = dict[str, dict[int, dict[str, float]]]


def points_by_length(results: Results) -> Points:
    """The points of the speed benchmark by attention, then length."""
    by_attention: Points = {}
    for point in results.benchmark("speed_by_length")["points"]:
        by_attention.setdefault(point["attention"], {})[point["seq_len"]] = point
    return {name: dict(sorted(points.items())) for name, points in by_attention.items()}


def lsh_time_growth(results: Results) -> Measured:
    """Greatest ratio, among the rounds, of the time of an LSH step at the greatest length to that at the least."""
    growth = []
    for points in _lsh_points(results):
        first, last = _ends(points)
        value = last["seconds_per_step"] / first["seconds_per_step"]
        low, high = last["seconds_min"] / first["seconds_max"], last["seconds_max"] / first["seconds_min"]
        growth.append((value, low, high))
    value, low, high = max(growth)
    return Measured((value,), low=low, high=high)


def full_time_growth(results: Results) -> Measured:
    """Factor by which the last doubling of the length multiplies the time of a step with full attention."""
    points = points_by_length(results).get("full", {})
    before, after = _ends(dict(list(points.items())[-2:]))
    doublings = log2(after["seq_len"] / before["seq_len"])

    def factor(key_after: str, key_before: str) -> float:
        return (after[key_after] / before[key_before]) ** (1 / doublings)

    low, high = factor("seconds_min", "seconds_max"), factor("seconds_max", "seconds_min")
    return Measured((factor("seconds_per_step", "seconds_per_step"),), low=low, high=high)


def crossing(results: Results, attention: str, limit: int) -> Measured:
    """Least length from which on LSH attention is faster than full attention; infinite where there is none.

    Between two measured lengths the times are taken to follow a power of the length. Raises NotTested where the lengths
    end under the limit and full attention is still faster there.
    """
    points = points_by_length(results)
    lengths = [length for length in points.get("full", {}) if length in points.get(attention, {})]
    if not lengths:
        raise NotTested(f"the benchmark has no length with both full attention and {attention}")
    gaps = [log2(_seconds(points["full"], at) / _seconds(points[attention], at)) for at in lengths]
    slower = [i for i, gap in enumerate(gaps) if gap <= 0]
    if not slower:
        return Measured((float(lengths[0]),), source="faster at every length measured")
    i = slower[-1]
    if i + 1 < len(lengths):
        share = gaps[i] / (gaps[i] - gaps[i + 1])
        length = lengths[i] * (lengths[i + 1] / lengths[i]) ** share
        return Measured((length,), source=f"between {lengths[i]:,} and {lengths[i + 1]:,}")
    if lengths[i] < limit:
        raise NotTested(f"full attention is still faster at {lengths[i]:,} tokens, where the measurement ends")
    return Measured((inf,), source=f"full attention is faster at {lengths[i]:,}")


def lsh_memory_growth(results: Results) -> Measured:
    """Greatest ratio of the peak memory of an LSH step at the greatest length to that at the least."""
    ratios = []
    for points in _lsh_points(results):
        first, last = _ends(points)
        if first["peak_bytes"] <= 0:
            raise NotTested("the memory of the shortest sequences is too small to be seen")
        ratios.append(last["peak_bytes"] / first["peak_bytes"])
    return Measured((max(ratios),), source="peak of one process a point")


def _lsh_points(results: Results) -> list[dict[int, dict[str, float]]]:
    found = [points for name, points in points_by_length(results).items() if name.startswith("lsh-")]
    if not found:
        raise NotTested("the benchmark has no LSH attention")
    return found


def _ends(points: Mapping[int, dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    if len(points) < 2:
        raise NotTested("the benchmark has fewer than two lengths")
    return points[min(points)], points[max(points)]


def _seconds(points: Mapping[int, Mapping[str, float]], length: int) -> float:
    return points[length]["seconds_per_step"]
