"""The presentation of each study: a caption, a figure, a table, and the size of the paper's runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from reformer.report.claims.all_claims import NOTICED
from reformer.report.display import panels, tables
from reformer.report.display.chart import Panel
from reformer.report.display.tables import Table
from reformer.report.evidence import paper
from reformer.studies import Study

CURVES = (
    "The learning curves show bits per dimension on the validation split after the first fifth of the training; lower is "
    "better."
)
NO_NUMBERS = "The paper prints curves without numbers."


@dataclass(frozen=True)
class View:
    """The presentation of a study; the default one suits any training runs.

    Attributes:
        caption: explains the figure.
        panels: draws the runs, or the content of the benchmark; raises NotTested.
        table: lists their numbers; raises NotTested.
        paper_scale: size of the paper's runs.
    """

    caption: str = CURVES
    panels: Callable[[Any], list[Panel]] = panels.learning
    table: Callable[[Any], Table] = tables.scores
    paper_scale: dict[str, str] = field(default_factory=dict)


def _pair(paper_scale: dict[str, str], limit: float | None = None) -> View:
    """The view of two networks that differ in one attribute."""
    dashed = "" if limit is None else "; the dashed lines are the limits of the claim, which judges the test split"
    caption = f"{CURVES} {NO_NUMBERS} The second panel shows the difference at each step, paired by seed{dashed}."
    return View(caption, partial(panels.pair, limit=limit), paper_scale=paper_scale)


VIEWS = {
    "duplication": View(
        "Accuracy on the second w: each panel is for one attention of the training. “Full” is exact attention, the "
        "numbers are hash rounds, and chance is 0.8 %. In the paper, networks trained with LSH fall to chance under full "
        "attention; here they copy. The paper's number appears if full attention lets positions attend to themselves (column "
        "“full, self allowed”), since a query's best match is its own key. docs/log.md lists what else was tried.",
        panels.copying,
        tables.copying,
        paper.DUPLICATION_SCALE,
    ),
    "reversible_text": _pair(paper.TEXT_SCALE, NOTICED),
    "hash_rounds": View(
        f"{CURVES} {NO_NUMBERS} The second panel shows bits per dimension on the test split against the number of rounds; the "
        "dashed line is full attention.",
        panels.hash_rounds,
        paper_scale=paper.IMAGE_SCALE,
    ),
    "speed_by_length": View(
        "All axes are logarithmic. The paper's times come from another machine: compare slopes and the lengths at which "
        "lines cross.",
        panels.speed,
        tables.speed,
    ),
    "memory": View(
        "Peak above the memory that is held between steps. “Ordinary residuals” store activations. “No technique” has full "
        "attention, ordinary residuals and no chunks. PyTorch's fused full attention is itself linear in memory; the note "
        "below the table compares it with LSH attention. “Unfused” is full attention as in the paper's time, which stores "
        "the weights of all pairs. The axes of the first panel are logarithmic. The paper gives complexities without numbers.",
        panels.memory,
        tables.memory,
    ),
    "reversible_images": _pair(paper.IMAGE_SCALE, NOTICED),
    "shared_qk_text": _pair(paper.TEXT_SCALE),
    "shared_qk_images": _pair(paper.IMAGE_SCALE),
    "against_transformer": View(
        f"{CURVES} The Reformer has LSH layers, shared queries and keys and reversible residuals; the Transformer has none of "
        "them. The panels of equal time draw the same curves against the seconds of training.",
        panels.against_transformer,
        tables.against_transformer,
    ),
    "n_layers": View(paper_scale=paper.TEXT_SCALE),
    "lsh_off": View(
        "Bits per dimension with the LSH layers on and off; lower is better.", panels.lsh_off, tables.lsh_off
    ),
}
"""Views by the id of their study. Any other study has the default view."""


def view_of(study: Study) -> View:
    """The view of a study."""
    return VIEWS.get(study.id, View())
