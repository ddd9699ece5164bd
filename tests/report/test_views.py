"""A study without a view of its own is shown by the default one, with its claim."""

from functools import partial

import pytest
from fake_results import listed, write_results

from reformer.files import Root, read_json
from reformer.report.build import build_report
from reformer.report.claims import learning
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import REPRODUCED, Claim
from reformer.report.display.views import VIEWS
from reformer.report.evidence.measured import MORE_BITS
from reformer.report.evidence.results import Results
from reformer.runs.listed import ListedRuns
from reformer.studies import STUDIES, Study

STUDY = Study(
    "learning_rate",
    "A title of its own",
    "no figure",
    "Which rate?",
    partial(ListedRuns.along, kind="text", setting="optimizer.lr"),
    "text",
)
CLAIM = Claim(
    id="low_rate",
    study=STUDY.id,
    text="A lower rate is no worse",
    paper="–",
    where="nowhere",
    criterion="At most {limit}.",
    why="a limit must have a reason",
    measure=partial(learning.gain_along, kind="text", setting="optimizer.lr"),
    unit=MORE_BITS,
    at_most=0.5,
)
NAMES = ["wikipedia_full_reversible", "wikipedia_full_reversible_lr-0.01", "wikipedia_full_reversible_lr-0.0001"]


@pytest.fixture
def extended():
    STUDIES.append(STUDY)
    CLAIMS.append(CLAIM)
    yield
    STUDIES.remove(STUDY)
    CLAIMS.remove(CLAIM)


def test_every_view_belongs_to_a_study():
    assert VIEWS.keys() <= {study.id for study in STUDIES}


@pytest.mark.usefixtures("extended")
def test_a_new_study_and_a_new_claim_need_an_entry_each(tmp_path):
    write_results(tmp_path, NAMES, (1, 2, 3))
    build_report(Results(Root(tmp_path), "cpu", listed(NAMES, (1, 2, 3))))
    judged = read_json(tmp_path / "report" / "claims.json")["claims"][-1]
    assert (judged["id"], judged["verdict"]) == (CLAIM.id, REPRODUCED)
    page = (tmp_path / "report" / "index.html").read_text()
    section = page[page.index(f'<section id="{STUDY.id}">') :].partition("</section>")[0]
    shown = (
        STUDY.title,
        STUDY.question,
        "<svg role",
        "lr 0.0001",
        "lr 0.001",
        "lr 0.01",
        "Validation",
        CLAIM.text,
    )
    assert [part for part in shown if part not in section] == []
    assert (tmp_path / "report" / "figures" / f"{STUDY.id}.png").is_file()
