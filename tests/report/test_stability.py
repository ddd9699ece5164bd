"""The verdicts on times hold when the benchmark is repeated."""

import pytest
from fake_results import listed
from project import Script

from reformer.files import Root
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NEEDS_MORE, UNDECIDED, judge
from reformer.report.evidence.results import Results

OF_TIMES = ("against_transformer_time", "lsh_time_flat", "full_time_grows", "lsh_overtakes_full")
REPEATS = 3


@pytest.mark.slow
def test_no_verdict_on_a_time_turns_into_its_opposite(tmp_path, script: Script):
    found: dict[str, list[str]] = {name: [] for name in OF_TIMES}
    for number in range(REPEATS):
        root = tmp_path / str(number)
        done = script("benchmark", "benchmark=speed_by_length", f"root={root}", "logger.mode=disabled")
        assert done.returncode == 0, done.stderr
        results = Results(Root(root), "cpu", listed([]))
        for claim in CLAIMS:
            if claim.id in OF_TIMES:
                found[claim.id].append(judge(claim, results).verdict)
    for name, verdicts in found.items():
        assert NEEDS_MORE not in verdicts, name
        assert len({*verdicts} - {UNDECIDED}) <= 1, (name, verdicts)
