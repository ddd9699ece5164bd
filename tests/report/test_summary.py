"""The table for the README: what it says, and how it gets there."""

import json
import re

import pytest
from fake_results import ALL_RUNS, ENVIRONMENT, listed, results, write_results, write_run
from project import PROJECT

from reformer.files import Root
from reformer.report.build import build_report, claims_as_json
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.display import summary, tables
from reformer.report.evidence.results import Results
from reformer.runs.listed import ListedRuns


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = write_results(tmp_path_factory.mktemp("results"), ALL_RUNS, seeds=(1, 2, 3))
    build_report(Results(Root(root), "cpu-long", listed(ALL_RUNS, (1, 2, 3))))
    return root / "report"


@pytest.fixture
def readme(tmp_path, monkeypatch):
    """pipelines/readme.py, on a README of its own."""
    import readme

    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(readme, "PROJECT", tmp_path)
    return readme


def rows(text):
    """Cells of the table of claims."""
    text = text.partition("\nTable 2. ")[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_table_has_every_claim_with_the_papers_number_ours_and_the_verdict(report):
    table = rows((report / "results.md").read_text())
    claims = json.loads((report / "claims.json").read_text())["claims"]
    assert [row[0].replace("\\|", "|") for row in table[2:]] == [claim.text for claim in CLAIMS]
    for row, claim in zip(table[2:], claims, strict=True):
        assert row[1:3] == [f"{claim['paper']} ({claim['where']})", claim["measured"]]
        verdict, _, decide = row[4].partition(": ")
        assert (verdict.strip("*"), decide) == (claim["verdict"], claim["decide"])
        assert bool(decide) == (claim["verdict"] in ("undecided", "needs more"))
        assert bool(row[3]) == (claim["interval"] != [None, None])


def test_the_rule_of_verdicts_stands_below_the_table_and_on_the_page(report):
    below = (report / "results.md").read_text().partition("Table 2. ")[0].rsplit("|\n", 1)[1]
    assert "contains the true value with a probability of 98 %" in below
    assert "contains the true value with a probability of 98 %" in (report / "index.html").read_text()


def test_a_claim_that_its_seeds_cannot_decide_says_what_would(tmp_path):
    seeds = (1, 2, 3)
    root = write_results(tmp_path, ALL_RUNS, seeds)
    for seed, bits in zip(seeds, (2.5, 2.6, 2.55), strict=True):
        write_run(root, "wikipedia_lsh-2_reversible", seed, bits=bits)
        write_run(root, "wikipedia_lsh-2_ordinary", seed, bits=2.55)
    build_report(Results(Root(root), "cpu", listed(ALL_RUNS, seeds)))
    text = (root / "report" / "results.md").read_text()
    row = next(row for row in rows(text) if row[0] == "Reversible layers learn text like ordinary ones")
    assert row[2:] == ["0.0000 ± 0.0500 bits/dim", "−0.2011 to +0.2011", "undecided: about 6 more seeds"]


def test_table_2_stands_below_with_the_papers_numbers(report):
    lines = (report / "results.md").read_text().partition("\nTable 2. ")[2].splitlines()
    row = next(" ".join(line.split()) for line in lines if line.startswith("| LSH-4 "))
    (found,) = tables.copying(results(report.parent, ["duplication_lsh-4_reversible"], (1, 2, 3)).groups).rows
    assert row.count("(paper ") == 5
    assert f"| {found[1].text} (paper 0.8) |" in row


def test_with_several_seeds_every_trained_number_has_its_spread(report):
    claims = json.loads((report / "claims.json").read_text())["claims"]
    of_runs = [claim for claim in claims if len(claim["values"]) > 1]
    assert len(of_runs) >= 10
    assert all(f" ± {claim['measured'].split(' ± ')[1]}" in claim["measured"] for claim in of_runs)


def test_with_several_seeds_every_score_in_the_tables_of_the_page_has_its_spread(report):
    found = results(report.parent, ALL_RUNS, (1, 2, 3))
    emoji = found.select(ListedRuns.by_rounds, "images")
    duplication = found.select(ListedRuns.all_of, "duplication")
    scores = tables.scores(emoji)
    with_spread = [scores.columns.index(name) for name in ("Validation", "Test", "LSH off")]
    assert all("±" in row[column].text for row in scores.rows for column in with_spread)
    assert all("±" in cell.text for row in tables.lsh_off(emoji).rows for cell in row[1:])
    assert all("±" in cell.text for row in tables.copying(duplication).rows for cell in row[1:6])


def test_the_sentence_above_it_names_profile_seeds_commit_device_and_counts(report):
    sentence = (report / "results.md").read_text().splitlines()[2]
    n = json.loads((report / "claims.json").read_text())["counts"]
    for part in (
        "`cpu-long`",
        "seeds 1, 2, 3 (mean ± standard deviation)",
        ENVIRONMENT["commit"][:10],
        f"{ENVIRONMENT['device']}, 2 threads",
    ):
        assert part in sentence
    assert re.search(r"Of 33 claims, 2\d from the paper and \d from its users: ", sentence)
    assert (
        f"**{n['reproduced']} reproduced, {n['not reproduced']} not, {n['undecided']} undecided; the other" in sentence
    )
    assert "min " in sentence  # the time of it all


@pytest.mark.parametrize(
    ("of_text", "of_images", "said"),
    [
        ([1], [1], "one seed"),
        ([1, 2], [1, 2], "one seed of 4 networks, seeds 1, 2 of 14 networks (mean ± standard deviation)"),
        ([3, 7, 1], [2], "one seed of 12 networks, seeds 3, 7, 1 of 6 networks (mean ± standard deviation)"),
    ],
)
def test_seeds_are_told_by_number_of_networks_where_some_have_more_than_others(tmp_path, of_text, of_images, said):
    seeds = {"duplication": [1], "wikipedia": of_text, "emoji": of_images}
    found = results(tmp_path, ALL_RUNS, {name: seeds[name.split("_")[0]] for name in ALL_RUNS})
    assert summary.provenance(found, None) == said
    of_name = claims_as_json(found, [])["seeds"]
    assert [of_name[f"{data}_full_reversible"] for data in seeds] == [[1], of_text, of_images]


def test_without_any_results_there_is_a_table_all_the_same(tmp_path):
    build_report(Results(Root(tmp_path), "cpu", listed(ALL_RUNS)))
    text = (tmp_path / "report" / "results.md").read_text()
    assert "one seed. Of 33 claims, " in text
    assert "**0 reproduced, 0 not, 0 undecided; the other 33 need more than these runs.**" in text
    assert {row[4].partition(": ")[0] for row in rows(text)[2:]} == {"needs more"}


def test_a_table_takes_the_place_of_the_one_of_its_profile_only(report, readme):
    table = (report / "results.md").read_text()
    first, *_, last = table.splitlines()
    other = "<!-- results of cpu -->\nold\n<!-- end -->\n"
    (readme.PROJECT / "README.md").write_text("# Title\n")
    page = readme.PROJECT / "docs" / "results-cpu-long.md"
    page.write_text(f"# Title\n\n{other}\n{first}\nold\n\nold too\n{last}\n\nAfter\n")
    for _ in range(2):
        readme.main([str(report / "results.md")])
        assert page.read_text() == f"# Title\n\n{other}\n{table}\nAfter\n"


def test_a_page_without_a_place_for_the_profile_stays_as_it_is(report, readme):
    (readme.PROJECT / "README.md").write_text("# Title\n")
    with pytest.raises(SystemExit, match="0 pages have the line <!-- results of cpu-long"):
        readme.main([str(report / "results.md")])
    assert (readme.PROJECT / "README.md").read_text() == "# Title\n"


def test_the_digest_in_the_lock_stands_at_the_end_of_the_table(tmp_path, readme, monkeypatch):
    monkeypatch.setattr(readme, "LOCK", tmp_path / "dvc.lock")
    with pytest.raises(ValueError, match=r"dvc\.lock has no report: run make repro first"):
        readme.with_digest("<!-- a -->\n\ntable\n\n<!-- b -->\n")
    (tmp_path / "dvc.lock").write_text("stages:\n  report:\n    outs:\n    - {path: data/report, md5: abc.dir}\n")
    found = readme.with_digest("<!-- a -->\n\ntable\n\n<!-- b -->\n")
    assert found == "<!-- a -->\n\ntable\n\nThe report in `dvc.lock`: `abc.dir`.\n\n<!-- b -->"


@pytest.mark.parametrize("profile", ["cpu", "cpu-long"])
@pytest.mark.parametrize("file", ["results.md", "verdicts.md"])
def test_the_project_has_a_page_for_the_profiles_that_run_here(profile, file, tmp_path):
    import readme

    build_report(Results(Root(tmp_path), profile, listed([])))
    first, *_ = (tmp_path / "report" / file).read_text().splitlines()
    assert readme.page_with(first).is_relative_to(PROJECT)
