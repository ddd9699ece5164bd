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
from reformer.runs.listed import ListedRuns


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = write_results(tmp_path_factory.mktemp("results"), ALL_RUNS, seeds=(1, 2, 3))
    build_report(Root(root), "cpu-long", listed(ALL_RUNS, (1, 2, 3)))
    return root / "report"


@pytest.fixture
def readme(tmp_path, monkeypatch):
    """pipelines/readme.py, on a README of its own."""
    import readme

    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
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
        verdict, _, why = row[3].strip("*").partition(": ")
        assert verdict == claim["verdict"].split(" at ")[0]
        assert claim["basis"].endswith(why)
        assert bool(why) == ("too few seeds to tell" in claim["basis"])


def test_how_seeds_are_judged_and_that_one_has_an_unknown_spread_stands_below_the_table_and_on_the_page(tmp_path):
    build_report(Root(write_results(tmp_path, ALL_RUNS)), "cpu", listed(ALL_RUNS))
    report = tmp_path / "report"
    below = (report / "results.md").read_text().partition("Table 2. ")[0].rsplit("|\n", 1)[1]
    assert "its standard deviation is unknown" in below
    assert "its standard deviation is unknown" in (report / "index.html").read_text()
    claims = json.loads((report / "claims.json").read_text())["claims"]
    trained = [claim for claim in claims if claim["study"] not in ("speed_by_length", "memory")]
    assert all("one seed" in claim["basis"] for claim in trained)
    assert not any("seed" in claim["basis"] for claim in claims if claim not in trained)


def test_a_claim_that_its_seeds_cannot_decide_says_so_in_the_table(tmp_path):
    seeds = (1, 2)
    root = write_results(tmp_path, ALL_RUNS, seeds)
    for seed, bits in zip(seeds, (2.5, 2.6), strict=True):
        write_run(root, "wikipedia_lsh-2_reversible", seed, bits=bits)
        write_run(root, "wikipedia_lsh-2_ordinary", seed, bits=2.55)
    build_report(Root(root), "cpu", listed(ALL_RUNS, seeds))
    text = (root / "report" / "results.md").read_text()
    row = next(row for row in rows(text) if row[0] == "Reversible layers learn text like ordinary ones")
    assert row[2:] == ["0.0000 ± 0.0707 bits/dim", "not tested: too few seeds to tell"]


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
    photos = found.select(ListedRuns.by_rounds, "images")
    duplication = found.select(ListedRuns.all_of, "duplication")
    assert all("±" in cell.text for row in tables.scores(photos).rows for cell in row[3:5])
    assert all("±" in cell.text for row in tables.lsh_off(photos).rows for cell in row[1:])
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
    assert "Of 24 claims, 21 from the paper and 3 from its users, " in sentence
    assert f"**{n['reproduced']} are reproduced, {n['not reproduced']} are not, " in sentence
    assert "min " in sentence  # the time of it all


@pytest.mark.parametrize(
    ("of_text", "of_images", "said"),
    [
        ([1], [1], "one seed"),
        ([1, 2], [1, 2], "one seed of 4 networks, seeds 1, 2 of 12 networks (mean ± standard deviation)"),
        ([3, 7, 1], [2], "one seed of 11 networks, seeds 3, 7, 1 of 5 networks (mean ± standard deviation)"),
    ],
)
def test_seeds_are_told_by_number_of_networks_where_some_have_more_than_others(tmp_path, of_text, of_images, said):
    seeds = {"duplication": [1], "wikipedia": of_text, "photos": of_images}
    found = results(tmp_path, ALL_RUNS, {name: seeds[name.split("_")[0]] for name in ALL_RUNS})
    assert summary.provenance(found, None) == said
    of_name = claims_as_json(found, [])["seeds"]
    assert [of_name[f"{data}_full_reversible"] for data in seeds] == [[1], of_text, of_images]


def test_without_any_results_there_is_a_table_all_the_same(tmp_path):
    build_report(Root(tmp_path), "cpu", listed(ALL_RUNS))
    text = (tmp_path / "report" / "results.md").read_text()
    assert "one seed. Of 24 claims, 21 from the paper and 3 from its users, **0 are reproduced, 0 are not, " in text
    assert {row[3] for row in rows(text)[2:]} == {"not tested"}


def test_a_table_takes_the_place_of_the_one_of_its_profile_only(report, readme):
    table = (report / "results.md").read_text()
    first, *_, last = table.splitlines()
    other = "<!-- results of cpu -->\nold\n<!-- end -->\n"
    readme.README.write_text(f"# Title\n\n{other}\n{first}\nold\n\nold too\n{last}\n\nAfter\n")
    for _ in range(2):
        readme.main([str(report / "results.md")])
        assert readme.README.read_text() == f"# Title\n\n{other}\n{table}\nAfter\n"


def test_a_readme_without_a_place_for_the_profile_stays_as_it_is(report, readme):
    readme.README.write_text("# Title\n")
    with pytest.raises(SystemExit, match="put the two lines <!-- results of cpu-long"):
        readme.main([str(report / "results.md")])
    assert readme.README.read_text() == "# Title\n"


@pytest.mark.parametrize("profile", ["cpu", "cpu-long"])
def test_the_readme_has_a_place_for_the_profiles_that_run_here(profile, tmp_path, readme):
    build_report(Root(tmp_path), profile, listed([]))
    table = (tmp_path / "report" / "results.md").read_text()
    assert table in readme.put(table, (PROJECT / "README.md").read_text())
