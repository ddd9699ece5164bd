"""The studies that test the paper's claims: the one list of them, in the order of the page."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from reformer.report import measures, paper, pictures, tables
from reformer.report.chart import Panel
from reformer.report.claim import Study
from reformer.report.results import IMAGES, TEXTS, NotTested, Results, RunGroup


def _image_groups(results: Results) -> list[RunGroup]:
    """Full attention, then LSH by rounds: one group each, a reversible one where there is one."""
    groups: dict[str, RunGroup] = {}
    for group in sorted(results.select(results.data(IMAGES)), key=lambda group: not group.spec.reversible):
        if group.spec.attention == "full" or group.spec.n_hashes:
            groups.setdefault(group.spec.attention, group)
    return sorted(groups.values(), key=lambda group: group.spec.n_hashes)


def _twins(results: Results, data: tuple[str, ...], attribute: str) -> list[RunGroup]:
    return list(results.twins(results.data(data), attribute))


def _twin_study(
    id: str,
    title: str,
    source: str,
    question: str,
    attribute: str,
    data: tuple[str, ...],
    draw: Callable[..., list[Panel]],
) -> Study:
    """A study of two networks that differ in one thing."""
    groups = partial(_twins, data=data, attribute=attribute)
    return Study(
        id=id,
        title=title,
        source=source,
        question=question,
        caption=(
            "First: bits per dimension on held-out data after the first fifth of the training, lower is better; "
            "the paper prints curves, no numbers. Second: how far apart the two are at each step, their seeds "
            "paired"
            + ("; dashed are the limits that the claim sets for test data." if attribute == "reversible" else ".")
        ),
        panels=partial(draw, data=data),
        table=lambda results: tables.scores(groups(results)),
        groups=groups,
        paper_scale=paper.TEXT_SCALE if data == TEXTS else paper.IMAGE_SCALE,
    )


STUDIES = [
    Study(
        id="duplication",
        title="Hash rounds on the duplication task",
        source="Table 2",
        question=(
            "A sequence 0w0w of random symbols: the second w can be had only by looking back over half the "
            "length. Models trained with full attention or 4, 2, 1 hash rounds are each evaluated with others."
        ),
        caption=(
            "Accuracy on the second half, one panel for each way of training; “full” is exact attention, the "
            "numbers are hash rounds. Chance is 0.8 %."
        ),
        panels=pictures.table_2,
        table=tables.table_2,
        groups=lambda results: results.select("duplication"),
        paper_scale=paper.DUPLICATION_SCALE,
    ),
    _twin_study(
        id="reversible_text",
        title="Reversible layers on text",
        source="Figure 3, right",
        question=(
            "The same network, with the same parameters, trained with activations recomputed from the layer above"
            " and with activations stored."
        ),
        attribute="reversible",
        data=TEXTS,
        draw=pictures.reversible,
    ),
    Study(
        id="hash_rounds",
        title="Hash rounds on images",
        source="Figure 4",
        question=(
            "LSH attention is an approximation that more hash rounds make better: networks trained with 1, 2, 4, "
            "… rounds against one with full attention."
        ),
        caption=(
            "Bits per dimension, lower is better. First: after the first fifth of the training. Second: where it "
            "ended, against the number of rounds; the dashed line is full attention. The paper prints curves, no "
            "numbers."
        ),
        panels=lambda results: pictures.hash_rounds(_image_groups(results)),
        table=lambda results: tables.scores(_image_groups(results)),
        groups=_image_groups,
        paper_scale=paper.IMAGE_SCALE,
    ),
    Study(
        id="speed_by_length",
        title="Time and memory against length",
        source="Figure 5, right",
        question=(
            "The number of tokens a step is held constant while sequences grow longer and fewer: full attention "
            "then costs in proportion to the length, LSH attention should cost the same throughout."
        ),
        caption=(
            "Both axes are logarithmic. The paper's times come from another machine: compare slopes and where "
            "lines cross."
        ),
        panels=pictures.speed,
        table=tables.speed,
        benchmark="speed_by_length",
    ),
    Study(
        id="memory",
        title="Memory of a training step",
        source="Tables 1 and 3",
        question=(
            "LSH attention should make memory linear in the length, reversible layers independent of depth, chunks "
            "independent of d_ff. One sequence a step; all techniques are on but what is named."
        ),
        caption=(
            "Peak above what is held between steps. “Ordinary residuals” store activations. “No technique” has full "
            "attention, ordinary residuals, no chunks. PyTorch's fused full attention is itself linear in memory: what "
            "LSH attention alone saves beside it, if anything, stands below the table. “Unfused” is that of the paper's "
            "time, which holds the weights of all pairs. First panel: both axes are logarithmic. The paper gives "
            "complexities only."
        ),
        panels=pictures.memory,
        table=tables.memory,
        benchmark="memory",
    ),
    _twin_study(
        id="reversible_images",
        title="Reversible layers on images",
        source="Figure 3, right",
        question="As on text: the same network with activations recomputed and with activations stored.",
        attribute="reversible",
        data=IMAGES,
        draw=pictures.reversible,
    ),
    _twin_study(
        id="shared_qk_text",
        title="Shared queries and keys on text",
        source="Figure 3, left",
        question="Keys that are the queries scaled to unit length, against keys with a projection of their own.",
        attribute="shared_qk",
        data=TEXTS,
        draw=pictures.shared_qk,
    ),
    _twin_study(
        id="shared_qk_images",
        title="Shared queries and keys on images",
        source="Figure 3, left",
        question="As on text: keys that are the queries scaled, against keys of their own.",
        attribute="shared_qk",
        data=IMAGES,
        draw=pictures.shared_qk,
    ),
    Study(
        id="n_layers",
        title="Depth on text",
        source="Figure 5, left",
        question="Deeper Reformers, as reversible layers make them affordable.",
        caption="Bits per dimension on held-out text after the first fifth of the training, lower is better.",
        panels=lambda results: pictures.by_depth(measures.by_depth(results)),
        table=lambda results: tables.scores(measures.by_depth(results)),
        groups=measures.by_depth,
        paper_scale=paper.TEXT_SCALE,
    ),
    Study(
        id="lsh_off",
        title="LSH attention switched off",
        source="not in the paper: a question of its users",
        question=(
            "Does the attention do anything? The LSH layers of the trained networks are switched off at evaluation."
        ),
        caption="Bits per dimension with the LSH layers on and off, lower is better.",
        panels=lambda results: pictures.lsh_off(measures.with_lsh_off(results)),
        table=lambda results: tables.lsh_off(measures.with_lsh_off(results)),
        groups=measures.with_lsh_layers,
    ),
]


def studies_of(name: str, runs: Mapping[str, Sequence[int]]) -> list[str]:
    """Ids of the studies that compare a run with others.

    Args:
        name: the run's, without its seed.
        runs: seeds of the runs that there are or will be, by their names.
    """
    planned = Results(Path(), "", runs)
    found = []
    for study in STUDIES:
        with suppress(NotTested):
            if name in [group.name for group in study.groups(planned)]:
                found.append(study.id)
    return found
