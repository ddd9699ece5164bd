"""Every claim can be reproduced, by the paper's own numbers where it prints them, and every claim can fail."""

import csv
import shutil

import pytest
from fake_results import (
    ALL,
    ALL_RUNS,
    LSH,
    NONE,
    NONE_UNFUSED,
    STORED,
    WHOLE,
    files_of,
    results,
    write_json,
    write_memory,
    write_results,
    write_run,
    write_speed,
)

from reformer.files import Root
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NEEDS_MORE, NOT_REPRODUCED, REPRODUCED, judge
from reformer.report.evidence import paper
from reformer.studies import STUDIES

SEEDS = (1, 2, 3)
PUBLISHED_TIMES = {kind: dict(zip(paper.LENGTHS, times, strict=True)) for kind, times in paper.FIGURE_5_SECONDS.items()}


def copying(trained, evaluated, accuracy):
    """Table 2 with one accuracy changed."""

    def change(root):
        row = {**paper.TABLE_2[trained], "unmasked": 0.008, evaluated: accuracy}
        for seed in SEEDS:
            write_run(root, f"duplication_{trained}_reversible", seed, accuracy=row)

    return change


def scoring(name, bits, off=0.61):
    """One network with other bits/dim, the same for all seeds."""

    def change(root):
        for seed in SEEDS:
            write_run(root, name, seed, bits=bits, off=off)

    return change


def timing(attention, factor):
    """Figure 5 with the last time of one attention changed."""

    def change(root):
        times = PUBLISHED_TIMES[attention]
        write_speed(root, {**PUBLISHED_TIMES, attention: {**times, 32768: times[32768] * factor}})

    return change


def remembering(axis, peaks):
    """The memory benchmark with other peaks along one axis."""
    return lambda root: write_memory(root, axis, peaks)


def slow_lsh(root):
    write_speed(root, {**PUBLISHED_TIMES, "lsh-4": dict.fromkeys(paper.LENGTHS, 4.0)})


def half_way(root):
    """The network with shared queries is behind half-way, and as good as before at the end."""
    for seed in SEEDS:
        path = files_of(root, f"wikipedia_full_reversible_seed-{seed}").curve
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["bits_per_dim"] = 5.0 if row["step"] == "300" else row["bits_per_dim"]
        with path.open("w", newline="") as file:
            (table := csv.DictWriter(file, list(rows[0]))).writeheader()
            table.writerows(rows)


def million(root, n_bytes=2e10):
    point = {"seq_len": 1 << 20, "process_peak_bytes": n_bytes}
    write_json(Root(root).benchmark("million"), {"environment": {}, "points": [point]})


WORSE = {
    "against_transformer_text": scoring("wikipedia_full_ordinary_separate-qk", 2.0),
    "against_transformer_images": scoring("emoji_full_ordinary_separate-qk", 4.3),
    "against_transformer_time": timing("lsh-4", 30.0),
    "million_tokens": million,
    "copy_lsh_to_unmasked": copying("lsh-2", "unmasked", 0.2),
    "shared_qk_text_faster": half_way,
    "copy_full": copying("full", "full", 0.99),
    "copy_lsh_4": copying("lsh-4", "lsh-8", 0.98),
    "copy_lsh_1": copying("lsh-1", "lsh-8", 0.95),
    "copy_more_rounds": copying("lsh-4", "lsh-8", 0.92),
    "copy_monotone": copying("lsh-2", "lsh-4", 0.97),
    "copy_full_to_lsh": copying("full", "lsh-8", 0.014),
    "copy_lsh_to_full": copying("lsh-4", "full", 0.465),
    "reversible_text": scoring("wikipedia_lsh-2_reversible", 2.75),
    "reversible_images": scoring("emoji_full_ordinary", 5.20),
    "rounds_close_to_full": scoring("emoji_lsh-8_reversible", 5.2),
    "rounds_help_training": scoring("emoji_lsh-1_reversible", 5.01),
    "lsh_time_flat": timing("lsh-2", 2.0),
    "full_time_grows": timing("full", 0.3),
    "lsh_overtakes_full": slow_lsh,
    "lsh_memory_flat": lambda root: write_speed(root, PUBLISHED_TIMES, lambda kind, length: 1e8 + 1e5 * length),
    "memory_depth": remembering("n_layers", {STORED: {2: 2e8, 4: 4e8}, ALL: {2: 2e8, 4: 2.6e8}}),
    "memory_rounds": remembering("n_hashes", {ALL: {1: 1e8, 4: 1.1e8, 8: 1.4e8}}),
    "memory_d_ff": remembering("d_ff", {ALL: {256: 1e8, 2048: 1.2e8}, WHOLE: {256: 1e8, 2048: 2e8}}),
    "memory_all": remembering("seq_len", {ALL: {1024: 1e7, 4096: 1e8}, NONE_UNFUSED: {1024: 1e8, 4096: 3e8}}),
    "memory_all_fused": remembering("seq_len", {ALL: {4096: 1e8}, NONE: {4096: 1.8e8}}),
    "shared_qk_text": scoring("wikipedia_full_reversible_separate-qk", 2.5),
    "shared_qk_images": scoring("emoji_full_reversible_separate-qk", 4.9),
    "deeper_is_better": scoring("wikipedia_lsh-2_reversible_layers-6", 2.7),
    "lsh_does_the_work": scoring("emoji_lsh-4_reversible", 5.065, off=0.01),
}
OUT_OF_REACH = {claim.id for claim in CLAIMS if claim.study == "full_size"}
WITHIN_REACH = [claim for claim in CLAIMS if claim.id not in OUT_OF_REACH]


@pytest.fixture(scope="module")
def as_published(tmp_path_factory):
    """Results that are the paper's where it prints numbers, and agree with it where it draws curves."""
    root = write_results(tmp_path_factory.mktemp("published"), ALL_RUNS, SEEDS)
    for trained in paper.TABLE_2:
        copying(trained, "unmasked", 0.008)(root)
    write_speed(root, PUBLISHED_TIMES)
    million(root, 1.05e10)
    depths = {kind: paper.HUGGING_FACE_MB[kind == ALL] for kind in (STORED, ALL)}
    write_memory(root, "n_layers", {kind: {n: mb * 1e6 for n, mb in row.items()} for kind, row in depths.items()})
    return root


def verdicts(root, runs=ALL_RUNS):
    found = results(root, runs, SEEDS)
    return {claim.id: judge(claim, found).verdict for claim in CLAIMS}


def test_the_papers_own_numbers_reproduce_every_claim_that_can_be_tested(as_published):
    assert verdicts(as_published) == {
        claim.id: NEEDS_MORE if claim.id in OUT_OF_REACH else REPRODUCED for claim in CLAIMS
    }


@pytest.mark.parametrize("claim", WITHIN_REACH, ids=lambda claim: claim.id)
def test_a_worse_run_turns_its_claim_not_reproduced(claim, as_published, tmp_path):
    root = shutil.copytree(as_published, tmp_path / "worse")
    WORSE[claim.id](root)
    assert judge(claim, results(root, ALL_RUNS, SEEDS)).verdict == NOT_REPRODUCED


def test_networks_at_chance_decide_no_claim_about_copying(as_published, tmp_path):
    root = shutil.copytree(as_published, tmp_path / "chance")
    for trained, row in paper.TABLE_2.items():
        for seed in SEEDS:
            write_run(root, f"duplication_{trained}_reversible", seed, accuracy=dict.fromkeys(row, 0.008))
    found = {name: verdict for name, verdict in verdicts(root).items() if name.startswith("copy_")}
    assert set(found.values()) == {NEEDS_MORE}


def test_a_missing_run_leaves_only_its_own_claims_untested(as_published, tmp_path):
    root = shutil.copytree(as_published, tmp_path / "missing")
    for seed in SEEDS:
        shutil.rmtree(files_of(root, f"wikipedia_lsh-2_ordinary_seed-{seed}").folder)
        files_of(root, f"wikipedia_lsh-2_ordinary_seed-{seed}").evaluation.unlink()
    untested = {name for name, verdict in verdicts(root).items() if verdict == NEEDS_MORE}
    assert untested == {"reversible_text", *OUT_OF_REACH}


def test_a_missing_benchmark_leaves_only_its_own_claims_untested(as_published, tmp_path):
    root = shutil.copytree(as_published, tmp_path / "missing")
    (root / "benchmarks" / "memory.json").unlink()
    judgements = [judge(claim, results(root, ALL_RUNS, SEEDS)) for claim in CLAIMS]
    untested = {judgement.claim.id: judgement.reason for judgement in judgements if judgement.verdict == NEEDS_MORE}
    of_memory = {claim.id for claim in CLAIMS if claim.study == "memory"} | {"memory_all_fused"}
    assert untested.keys() == of_memory | OUT_OF_REACH
    assert {untested[name] for name in of_memory} == {"benchmarks/memory.json is missing"}


def test_lsh_points_that_were_all_skipped_leave_the_claims_untested(as_published, tmp_path):
    root = shutil.copytree(as_published, tmp_path / "skipped")
    write_speed(root, {kind: times for kind, times in PUBLISHED_TIMES.items() if kind not in LSH})
    assert verdicts(root)["lsh_time_flat"] == NEEDS_MORE
    assert verdicts(root)["full_time_grows"] == REPRODUCED


def test_every_claim_has_one_limit_and_says_it():
    for claim in CLAIMS:
        assert [claim.at_least, claim.at_most, claim.within].count(None) == 2, claim.id
        assert "{limit}" in claim.criterion, claim.id
        assert claim.why, claim.id


def test_every_claim_belongs_to_a_study_and_every_study_has_one():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.study for claim in CLAIMS} == {study.id for study in STUDIES}
