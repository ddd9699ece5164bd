"""What verdicts rest on: intervals against slow twins, their bound on wrong verdicts, and claims.json as others read it."""

import json
import re
from math import hypot, inf, nan, sqrt
from statistics import NormalDist, fmean, stdev

import numpy as np
import pytest
from fake_results import (
    ALL_RUNS,
    SIMPLE,
    UNIT_TOKENS,
    listed,
    results,
    write_json,
    write_results,
    write_run,
    write_simple,
)
from jsonschema import Draft202012Validator, ValidationError
from project import PROJECT

from reformer.files import Root, read_json
from reformer.report.against import differences
from reformer.report.build import build_report, claims_as_json
from reformer.report.claims import learning
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import (
    NEEDS_MORE,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Judgement,
    chance_of_a_wrong_verdict,
    judge,
    verdict_on,
)
from reformer.report.display.panels import against_transformer
from reformer.report.evidence import measured as evidence
from reformer.report.evidence.measured import Measured, student
from reformer.report.evidence.results import Results
from reformer.runs.listed import ListedRuns

SEEDS = (1, 2, 3)
PAIR = ["wikipedia_lsh-2_reversible", "wikipedia_lsh-2_ordinary"]
SCHEMA = json.loads((PROJECT / "src" / "reformer" / "report" / "claims.schema.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = write_results(tmp_path_factory.mktemp("whole"), ALL_RUNS, SEEDS)
    build_report(Results(Root(root), "cpu-long", listed(ALL_RUNS, SEEDS)))
    return root / "report"


def test_the_quantiles_are_those_of_student():
    rng = np.random.default_rng(1)
    for freedom in (2, 5, 12):
        drawn = rng.standard_t(freedom, 2_000_000)
        assert (drawn > student(freedom)).mean() == pytest.approx(0.01, abs=0.0004)
    assert pytest.approx(NormalDist().inv_cdf(0.99), abs=1e-3) == evidence.Z


def test_the_interval_of_a_difference_adds_the_error_of_the_seeds_and_of_the_choice_of_documents(tmp_path):
    write_simple(tmp_path)
    rng = np.random.default_rng(3)
    nats = {name: rng.uniform(1.6, 1.9, (3, len(UNIT_TOKENS))) for name in PAIR}  # a token, of each seed and document
    for name in PAIR:
        for seed in SEEDS:
            write_run(tmp_path, name, seed, bits=2.5)
            path = results(tmp_path, PAIR, SEEDS).root.run(f"{name}_seed-{seed}", "text").evaluation
            content = read_json(path)
            units = [[float(x * n), 0.4 * n] for x, n in zip(nats[name][seed - 1], UNIT_TOKENS, strict=True)]
            total = sum(x for x, _ in units) / sum(UNIT_TOKENS) / np.log(2)
            content["results"]["trained"] = {"bits_per_dim": total, "accuracy": 0.4, "units": units}
            write_json(path, content)
    found = learning.twin_difference(results(tmp_path, PAIR, SEEDS), "text", "reversible")

    def difference(documents):
        tokens = np.array(UNIT_TOKENS)[documents]
        of_seeds = ((nats[PAIR[0]] - nats[PAIR[1]])[:, documents] * tokens).sum(1) / tokens.sum() / np.log(2)
        return list(of_seeds)

    exact = difference(list(range(4)))
    assert found.values == pytest.approx(exact)
    drawn = [fmean(difference(rng.integers(0, 4, 4))) for _ in range(4000)]
    reach = hypot(6.965 * stdev(exact) / sqrt(3), 2.326 * stdev(drawn))
    assert (found.interval[1] - found.interval[0]) / 2 == pytest.approx(reach, rel=0.12)  # of 200 drawings there
    assert found.n_units == 4


@pytest.mark.parametrize("distance", [0.011, 0.02, 0.03, 0.3])
def test_the_seeds_that_are_missing_are_the_fewest_whose_interval_fits(distance):
    found = Measured((0.01, 0.03, 0.05), n_wanted=3, sampling=0.004)

    def reach(n):
        return hypot(student(n - 1) * stdev(found.values) / sqrt(n), 2.326 * 0.004)

    wanted = next((n for n in range(4, 103) if reach(n) < distance), None)
    assert found.more_seeds(distance) == (wanted - 3 if wanted else None)


def test_no_number_of_seeds_helps_against_too_small_a_test_set():
    assert Measured((0.01, 0.03, 0.05), n_wanted=3, sampling=0.02).more_seeds(0.03) is None


@pytest.mark.parametrize(
    ("interval", "allowed", "verdict"),
    [
        ((1.0, 2.0), (0.0, 2.0), REPRODUCED),
        ((1.0, 2.1), (0.0, 2.0), UNDECIDED),
        ((2.1, 2.2), (0.0, 2.0), NOT_REPRODUCED),
        ((-1.0, -0.5), (0.0, 2.0), NOT_REPRODUCED),
        ((-inf, inf), (0.0, inf), UNDECIDED),
        ((3.0, 3.0), (-inf, 3.0), REPRODUCED),
        ((inf, inf), (-inf, 4096), NOT_REPRODUCED),
    ],
)
def test_the_whole_interval_decides(interval, allowed, verdict):
    assert verdict_on(interval, allowed) == verdict


def test_networks_of_a_few_steps_decide_nothing_about_learning(tmp_path):
    write_results(tmp_path, ALL_RUNS, SEEDS)
    chance = dict.fromkeys(("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1", "unmasked"), 0.009)
    for name in ALL_RUNS:
        for seed in SEEDS:
            write_run(tmp_path, name, seed, bits=6.9, accuracy=chance, off=0.0)
    found = results(tmp_path, ALL_RUNS, SEEDS)
    of_networks = [claim for claim in CLAIMS if claim.study not in ("speed_by_length", "memory", "against_transformer")]
    assert {judge(claim, found).verdict for claim in of_networks} == {NEEDS_MORE}


@pytest.mark.parametrize("runs", [ALL_RUNS, PAIR, []])
def test_claims_json_fits_its_schema_whatever_there_is(tmp_path, runs):
    write_results(tmp_path, runs, SEEDS)
    found = results(tmp_path, runs, SEEDS)
    content = json.loads(json.dumps(claims_as_json(found, [judge(claim, found) for claim in CLAIMS]), allow_nan=False))
    Draft202012Validator(SCHEMA).validate(content)
    for key in SCHEMA["required"]:
        with pytest.raises(ValidationError):
            Draft202012Validator(SCHEMA).validate({name: content[name] for name in content if name != key})


def test_all_keys_of_claims_json_are_described(whole):
    content = read_json(whole / "claims.json")
    assert content.keys() == SCHEMA["properties"].keys()
    of_claim = SCHEMA["properties"]["claims"]["items"]["properties"]
    assert all(claim.keys() == of_claim.keys() for claim in content["claims"])


def test_another_report_is_compared_claim_by_claim(whole):
    ours = read_json(whole / "claims.json")
    assert list(differences(ours, ours)) == []
    theirs = json.loads(json.dumps(ours))
    first, second, third = theirs["claims"][:3]
    first |= {"verdict": "undecided", "interval": [0.25, 0.5], "measured": "+0.4", "basis": "one seed"}
    second["id"] = "another"
    lines = list(differences(ours, theirs))
    assert len(lines) == 3
    assert lines[0].startswith(f"{ours['claims'][0]['id']}: undecided (+0.4, interval 0.25 to 0.5) -> reproduced (")
    assert "evidence one seed -> 3 seeds" in lines[0]
    assert lines[1].endswith("the other report has no such claim")
    assert lines[2].startswith("another: the other report has it (")
    third["values"] = [1.0]
    assert len(list(differences(ours, theirs))) == 3


def test_the_bound_of_wrong_verdicts_counts_the_decided_claims_that_have_an_interval(whole):
    def judged(verdict, interval):
        return Judgement(CLAIMS[0], verdict, Measured((1.0,), range=interval))

    found = [
        judged(REPRODUCED, (0.5, 1.5)),
        judged(NOT_REPRODUCED, (0.5, 1.5)),
        judged(REPRODUCED, (1.0, 1.0)),
        judged(UNDECIDED, (0.5, 1.5)),
        Judgement(CLAIMS[0], NEEDS_MORE),
    ]
    assert chance_of_a_wrong_verdict(found) == pytest.approx(2 * 0.01)
    content, page = read_json(whole / "claims.json"), (whole / "index.html").read_text()
    assert f"at most {100 * content['chance_of_a_wrong_verdict']:.0f} %" in " ".join(page.split())


def test_every_row_of_the_page_has_a_bar_or_a_reason(whole):
    page = (whole / "index.html").read_text()
    table = page[page.index('<table class="verdicts">') : page.index("</table>")]
    cells = re.findall(r'<td data-label="Here">(.*?)</td>', table, re.S)
    assert len(cells) == len(CLAIMS)
    assert all('<svg class="interval"' in cell or re.search(r"<small>\S", cell) for cell in cells)
    assert sum('<svg class="interval"' in cell for cell in cells) >= len(CLAIMS) - 4


def test_a_diverged_network_has_neither_bar_nor_verdict(tmp_path):
    write_simple(tmp_path, SIMPLE)
    for seed in SEEDS:
        write_run(tmp_path, PAIR[0], seed, bits=nan)
        write_run(tmp_path, PAIR[1], seed)
    (claim,) = (claim for claim in CLAIMS if claim.id == "reversible_text")
    judgement = judge(claim, results(tmp_path, PAIR, SEEDS))
    assert (judgement.verdict, judgement.measured) == (NEEDS_MORE, None)


def test_the_curves_of_equal_time_are_those_of_equal_steps_at_the_seconds_of_a_step(tmp_path):
    names = ["wikipedia_lsh-4_reversible", "wikipedia_full_ordinary_separate-qk"]
    for name in names:
        for seed in SEEDS:
            write_run(tmp_path, name, seed)
    found = results(tmp_path, names, SEEDS)
    path = found.root.run("wikipedia_lsh-4_reversible_seed-2", "text").environment
    write_json(path, read_json(path) | {"seconds": 6000.0})  # not the median
    by_steps, by_time = against_transformer(found.select(ListedRuns.against_transformers, ("text",)))
    assert [series.name for series in by_time.series] == ["Reformer", "Transformer"]
    for one, other in zip(by_steps.series, by_time.series, strict=True):
        assert [point[0] * 61.5 / 600 for point in one.points] == pytest.approx([point[0] for point in other.points])
        assert [point[1:] for point in one.points] == [point[1:] for point in other.points]
    assert by_time.x.label == "seconds of training"
