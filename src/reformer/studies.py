"""The studies that test the paper's claims, with the runs or the benchmark that each compares. Imports no torch."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from reformer.runs.listed import ListedRuns, NotListed


def no_runs(listed: ListedRuns) -> list[str]:
    """Selects nothing: a study of a benchmark compares no training runs."""
    return []


@dataclass(frozen=True)
class Study:
    """A question, with the runs or the benchmark that answer it.

    Attributes:
        id: anchor in the report, name of the figure's file and tag in W&B.
        title: heading of the section.
        source: figure or table of the paper.
        question: the comparison, in one or two sentences.
        runs: selects the names of the compared runs; raises NotListed.
        kind: kind of data of these runs; empty for several.
        benchmark: name of the benchmark of a study without training runs.
    """

    id: str
    title: str
    source: str
    question: str
    runs: Callable[[ListedRuns], Sequence[str]] = no_runs
    kind: str = ""
    benchmark: str = ""


STUDIES = [
    Study(
        id="against_transformer",
        title="Reformer against Transformer",
        source="abstract, Figure 5",
        question=(
            "The paper promises the accuracy of a Transformer at a fraction of its time and memory. Both networks are trained "
            "for the same steps with the same data, each with the learning rate that a sweep chose for it."
        ),
        runs=partial(ListedRuns.against_transformers, kinds=("text", "images")),
    ),
    Study(
        id="duplication",
        title="Hash rounds on the duplication task",
        source="Table 2",
        question=(
            "A sequence 0w0w of random symbols: only attention over half of the length can predict the second w. Models "
            "trained with full attention or with 4, 2 or 1 hash rounds are evaluated with each of these and with 8 rounds."
        ),
        runs=partial(ListedRuns.all_of, kind="duplication"),
        kind="duplication",
    ),
    Study(
        id="reversible_text",
        title="Reversible layers on text",
        source="Figure 3, right",
        question=(
            "The same network with the same parameters is trained twice: once it recomputes its activations from the layer "
            "above, once it stores them."
        ),
        runs=partial(ListedRuns.twins, kind="text", attribute="reversible"),
        kind="text",
    ),
    Study(
        id="hash_rounds",
        title="Hash rounds on images",
        source="Figure 4",
        question=(
            "LSH attention approximates full attention better with more hash rounds. Networks trained with different numbers "
            "of rounds are compared with one trained with full attention."
        ),
        runs=partial(ListedRuns.with_full_and_rounds, kind="images"),
        kind="images",
    ),
    Study(
        id="speed_by_length",
        title="Time and memory against length",
        source="Figure 5, right",
        question=(
            "Sequences become longer and fewer while the number of tokens in a step stays the same. The time of full "
            "attention should then grow in proportion to the length, and that of LSH attention should not grow."
        ),
        benchmark="speed_by_length",
    ),
    Study(
        id="memory",
        title="Memory of a training step",
        source="Tables 1 and 3",
        question=(
            "LSH attention should make memory linear in the length, reversible layers independent of the depth, and chunks "
            "independent of d_ff. Each step has one sequence, and uses all techniques except those that are named."
        ),
        benchmark="memory",
    ),
    Study(
        id="reversible_images",
        title="Reversible layers on images",
        source="Figure 3, right",
        question="As on text: the same network recomputes its activations, or stores them.",
        runs=partial(ListedRuns.twins, kind="images", attribute="reversible"),
        kind="images",
    ),
    Study(
        id="shared_qk_text",
        title="Shared queries and keys on text",
        source="Figure 3, left",
        question="Keys that are the queries scaled to unit length are compared with keys that have a projection of their own.",
        runs=partial(ListedRuns.twins, kind="text", attribute="shared_qk"),
        kind="text",
    ),
    Study(
        id="shared_qk_images",
        title="Shared queries and keys on images",
        source="Figure 3, left",
        question="As on text: keys that are the scaled queries, or keys with a projection of their own.",
        runs=partial(ListedRuns.twins, kind="images", attribute="shared_qk"),
        kind="images",
    ),
    Study(
        id="n_layers",
        title="Depth on text",
        source="Figure 5, left",
        question="Networks of different depth, which reversible layers make affordable, are compared.",
        runs=partial(ListedRuns.along, kind="text", setting="model.n_layers"),
        kind="text",
    ),
    Study(
        id="full_size",
        title="Claims at the paper's full size",
        source="section 5, Table 4",
        question="These claims are the paper's too. No profile of this project tests them; each row says what it would take.",
    ),
    Study(
        id="lsh_off",
        title="LSH attention switched off",
        source="not in the paper: a question of its users",
        question="Do trained networks need their LSH layers? The evaluation switches them off.",
        runs=ListedRuns.hashing,
    ),
]
"""All studies, in the order of the report."""


def studies_of(name: str, listed: ListedRuns) -> list[str]:
    """Returns the ids of the studies that compare a run, named without its seed."""
    found = []
    for study in STUDIES:
        with suppress(NotListed):
            if name in study.runs(listed):
                found.append(study.id)
    return found


def check_studies(listed: ListedRuns) -> None:
    """Raises a SettingError if the listed runs of a study are ambiguous."""
    for study in STUDIES:
        with suppress(NotListed):
            study.runs(listed)
