"""The committed results: the lock file, the tables and the graph belong to one run of the pipeline."""

import re

import pytest
import readme
import yaml
from dvc.repo import Repo
from project import PROJECT


@pytest.fixture(scope="module")
def lock():
    return yaml.safe_load((PROJECT / "dvc.lock").read_text())["stages"]


def test_the_lock_has_the_stages_of_the_graph_and_no_others(lock):
    with Repo(str(PROJECT)) as repo:
        assert set(lock) == {stage.name for stage in repo.index.stages}


def test_the_tables_come_from_the_report_of_the_lock(lock):
    page = (PROJECT / "docs" / "results-cpu.md").read_text()
    (digest,) = re.findall(r"The report in `dvc.lock`: `([0-9a-f]+\.dir)`", page)
    assert digest == lock["report"]["outs"][0]["md5"], "run make repro results, and commit what it changes"


def test_every_table_has_one_page():
    pages = {page: page.read_text().splitlines() for page in readme.pages_of_project()}
    for profile in ("cpu", "cpu-long"):
        for kind in ("results", "verdicts"):
            first = f"<!-- {kind} of {profile}: from its report, by make results -->"
            assert first in pages[readme.page_with(first)]
