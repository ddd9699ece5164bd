"""The tables of the page: what stands beside the numbers."""

from dataclasses import replace

from fake_results import ALL_RUNS, files_of, results, write_json, write_memory, write_run

from reformer.files import read_json
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.display import panels, tables
from reformer.report.display.views import VIEWS
from reformer.report.evidence import paper
from reformer.report.evidence.labels import MISSING
from reformer.studies import STUDIES


def groups_of(root, *names):
    for name in names:
        write_run(root, name, 1, bits=2.5)
    return results(root, names).groups


def by_column(table, row):
    return {column: cell.text for column, cell in zip(table.columns, table.rows[row], strict=True)}


def test_beside_a_test_score_stands_that_without_the_lsh_layers_where_it_was_evaluated(tmp_path):
    groups = groups_of(tmp_path, "emoji_lsh-4_reversible", "emoji_full_reversible")
    table = tables.scores(groups)
    assert by_column(table, 0)["LSH off"] == "3.110"
    assert by_column(table, 1)["LSH off"] == MISSING
    assert "LSH off" not in tables.scores(groups[1:]).columns
    missing = replace(groups[0], runs={})
    assert len(tables.scores([missing, groups[0]]).rows[0]) == len(table.columns)


def test_table_2_has_a_column_with_the_lsh_layers_off_where_they_were_switched_off(tmp_path):
    groups = groups_of(tmp_path, "duplication_full_reversible", "duplication_lsh-4_reversible")
    table = tables.copying(groups)
    assert [by_column(table, row)["LSH off"] for row in (0, 1)] == [MISSING, "20.0 %"]
    path = files_of(tmp_path, "duplication_lsh-4_reversible_seed-1").evaluation
    content = read_json(path)
    del content["results"]["off"]
    write_json(path, content)
    assert by_column(table, 1)["full, self allowed"].startswith("0.")
    assert "LSH off" not in tables.copying(results(tmp_path, ["duplication_lsh-4_reversible"]).groups).columns


def test_sizes_are_shown_as_far_as_both_sides_know_them(tmp_path):
    groups_of(tmp_path, *ALL_RUNS)
    for study in STUDIES:
        if study.id in VIEWS and (published := VIEWS[study.id].paper_scale):
            table = tables.scale(published, results(tmp_path, ALL_RUNS).select(study.runs)[0].first())
            assert table.columns[1:] == list(published), study.id
            assert MISSING not in [cell.text for row in table.rows for cell in row]
    assert "60,000" in paper.TEXT_SCALE["Steps"]
    assert "500,000" in paper.IMAGE_SCALE["Steps"]


def test_the_table_of_memory_says_what_lsh_attention_saves_beside_fused_full_attention(tmp_path):
    write_memory(tmp_path, "seq_len", {("lsh", True, True): {512: 2e6, 1024: 3e6}, ("full", True, True): {1024: 4e6}})
    content = results(tmp_path, []).benchmark("memory")
    assert "At 1,024 tokens, the peak with all techniques is ×0.75 that of" in tables.memory(content).note
    write_memory(tmp_path, "seq_len", {("lsh", True, True): {512: 2e6}})
    assert "with all techniques is" not in tables.memory(results(tmp_path, []).benchmark("memory")).note


def test_no_line_of_the_figure_of_memory_is_called_none(tmp_path):
    write_memory(tmp_path)
    content = results(tmp_path, []).benchmark("memory")
    names = {series.name for panel in panels.memory(content) for series in panel.series}
    assert {"no technique", "no technique, unfused"} <= names
    assert not {name for name in names if name.startswith("none")}


def test_a_limit_that_is_not_the_papers_says_so():
    claim = next(claim for claim in CLAIMS if claim.id == "memory_rounds")
    assert claim.where == "not in the paper"
    assert "×8" in claim.why
