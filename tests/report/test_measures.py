from itertools import product
from math import inf, isclose

import pytest
from fake_results import (
    ALL,
    ALL_RUNS,
    NONE_UNFUSED,
    STORED,
    WHOLE,
    results,
    write_curve,
    write_memory,
    write_run,
    write_simple,
    write_speed,
)

from reformer.bench import techniques
from reformer.report.claims import learning, memory, speed
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NEEDS_MORE, NOT_REPRODUCED, REPRODUCED, UNDECIDED, judge
from reformer.report.evidence.measured import over_seeds
from reformer.report.evidence.results import NotTested

PAIR = ["wikipedia_lsh-2_reversible", "wikipedia_lsh-2_ordinary"]
SHARED = ["wikipedia_full_reversible", "wikipedia_full_reversible_separate-qk"]


def bare(root, seeds=(1,)):
    return results(root, ALL_RUNS, seeds)


def parity(root, reversible, ordinary):
    seeds = range(1, len(reversible) + 1)
    for name, scores in zip(PAIR, (reversible, ordinary), strict=True):
        for seed, bits in zip(seeds, scores, strict=True):
            write_run(root, name, seed, bits=bits)
    return learning.twin_difference(results(root, PAIR, seeds), "text", "reversible")


def judged(root, reversible, ordinary, claim="reversible_text", names=PAIR):
    seeds = range(1, len(reversible) + 1)
    for name, scores in zip(names, (reversible, ordinary), strict=True):
        for seed, bits in zip(seeds, scores, strict=True):
            write_run(root, name, seed, bits=bits)
    return judge(find(claim), results(root, names, seeds))


def find(name):
    return next(claim for claim in CLAIMS if claim.id == name)


def copying(root, **rows):
    """Judges the duplication claims where these networks have these accuracies with full, LSH-8, -4, -2, -1."""
    names = {}
    for trained, row in rows.items():
        name = f"duplication_{trained.replace('_', '-')}_reversible"
        for seed in (1, 2, 3):
            accuracy = dict(zip(("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1"), row, strict=True))
            write_run(root, name, seed, accuracy=accuracy)
        names[name] = (1, 2, 3)
    return {
        claim.id: judge(claim, results(root, list(names), names)) for claim in CLAIMS if claim.study == "duplication"
    }


@pytest.mark.parametrize("difference", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("claim", ["reversible_text", "shared_qk_text"])
def test_one_seed_decides_nothing(tmp_path, claim, difference):
    write_simple(tmp_path)
    names = PAIR if claim == "reversible_text" else SHARED
    judgement = judged(tmp_path, [2.5 + difference], [2.5], claim, names)
    assert (judgement.verdict, judgement.decide) == (UNDECIDED, "three seeds or more")
    assert judgement.basis == "one seed, 4 test units"
    assert judgement.interval == ""


def test_eight_rounds_are_held_against_full_attention_though_more_were_trained(tmp_path):
    write_simple(tmp_path)
    scores = {"full": 5.0, "lsh-4": 5.5, "lsh-8": 5.1, "lsh-16": 4.9}
    names = {attention: f"emoji_{attention}_reversible" for attention in scores}
    for attention, name in names.items():
        write_run(tmp_path, name, 1, bits=scores[attention])
    measured = learning.eight_rounds_against_full(results(tmp_path, list(names.values())))
    assert (measured.mean, measured.source) == (pytest.approx(0.02), "")
    del names["lsh-8"], names["lsh-16"]
    measured = learning.eight_rounds_against_full(results(tmp_path, list(names.values())))
    assert (measured.mean, measured.source) == (pytest.approx(0.1), "with 4 rounds, the most trained")


def test_parity_pairs_the_seeds_so_that_what_both_networks_share_is_no_spread(tmp_path):
    write_simple(tmp_path)
    judgement = judged(tmp_path, [2.51, 2.91, 2.21], [2.50, 2.90, 2.20])
    assert judgement.ours == "+0.0100 ± 0.0000 bits/dim"
    assert judgement.verdict == REPRODUCED


@pytest.mark.parametrize(
    ("differences", "reach", "verdict", "decide"),
    [
        ((0.004, 0.010, 0.016), 0.0241, REPRODUCED, ""),
        ((0.004, 0.020, 0.036), 0.0643, UNDECIDED, "about 2 more seeds"),
        ((0.071, 0.072, 0.073), 0.0040, NOT_REPRODUCED, ""),
        ((-0.071, -0.072, -0.073), 0.0040, NOT_REPRODUCED, ""),
        ((0.049, -0.2, 0.2), 0.8, UNDECIDED, "more"),
        ((0.001, -0.001), 0.0318, REPRODUCED, ""),
    ],
)
def test_parity_wants_the_whole_interval_of_student_and_says_what_would_decide(
    tmp_path, differences, reach, verdict, decide
):
    write_simple(tmp_path)
    judgement = judged(tmp_path, [2.5 + difference for difference in differences], [2.5] * len(differences))
    assert judgement.verdict == verdict
    low, high = judgement.measured.interval
    assert (high - low) / 2 == pytest.approx(reach, rel=0.02 if reach < 0.1 else 0.5)
    assert decide in judgement.decide


@pytest.mark.parametrize(
    ("rise", "verdict"),
    [
        ((-0.5, -0.4, -0.45), REPRODUCED),
        ((0.020, 0.022, 0.024), REPRODUCED),
        ((0.010, 0.090, 0.055), UNDECIDED),
        ((0.070, 0.071, 0.072), NOT_REPRODUCED),
    ],
)
def test_one_sided_claims_want_the_whole_interval_too(tmp_path, rise, verdict):
    write_simple(tmp_path)
    judgement = judged(tmp_path, [2.5 + more for more in rise], [2.5] * len(rise), "shared_qk_text", SHARED)
    assert (judgement.verdict, judgement.basis) == (verdict, "3 seeds, 4 test units")


@pytest.mark.parametrize(("shared", "separate"), [(3.71, 3.1), (3.1, 3.71), (float("nan"), 2.5), (2.5, 9.5)])
def test_networks_are_not_compared_where_one_of_them_does_not_beat_the_simple_model_by_the_margin(
    tmp_path, shared, separate
):
    write_simple(tmp_path)
    with pytest.raises(NotTested, match=r"that beat the table of byte pairs by 0\.2, with at most 3\.700"):
        parity(tmp_path, [shared] * 3, [separate] * 3)
    parity(tmp_path, [3.69] * 3, [3.1] * 3)


def test_without_the_simple_model_nothing_is_compared(tmp_path):
    with pytest.raises(NotTested, match=r"simple/wikipedia\.json is missing"):
        parity(tmp_path, [2.5] * 3, [2.5] * 3)


def test_a_seed_with_which_a_network_learned_nothing_is_not_left_out_to_save_the_claim(tmp_path):
    write_simple(tmp_path)
    judgement = judged(tmp_path, [2.5, 2.5, 4.1], [2.6, 2.6, 2.6], "shared_qk_text", SHARED)
    assert judgement.verdict == NEEDS_MORE
    assert judgement.reason.startswith("wikipedia_full_reversible_seed-3 has 4.100 bits/dim after so few steps")


@pytest.mark.parametrize(("fall", "verdict"), [(0.07, REPRODUCED), (0.45, NEEDS_MORE)])
def test_networks_that_still_learn_more_than_the_distance_to_the_limit_do_not_test_a_claim_about_trained_ones(
    tmp_path, fall, verdict
):
    write_simple(tmp_path)
    names = ["wikipedia_lsh-4_reversible", "wikipedia_full_ordinary_separate-qk"]
    for name, bits in zip(names, (2.5, 2.7), strict=True):
        for seed in (1, 2, 3):
            folder = write_run(tmp_path, name, seed, bits=bits)
            write_curve(folder, {400: bits + fall, 480: bits + fall, 600: bits})
    judgement = judge(find("against_transformer_text"), results(tmp_path, names, (1, 2, 3)))
    assert judgement.verdict == verdict  # the limit is 0.05, and the difference -0.2
    assert ("still fell by 0.450 bits/dim in the last fifth" in judgement.reason) == (verdict == NEEDS_MORE)
    assert judgement.decide == ("" if verdict == REPRODUCED else find("against_transformer_text").needs)


def test_rounds_can_win_nothing_back_where_one_round_misses_nothing(tmp_path):
    perfect, needs_rounds = (0.3, 1.0, 1.0, 1.0, 0.995), (0.3, 1.0, 0.99, 0.95, 0.8)
    claim = copying(tmp_path, lsh_4=perfect, lsh_2=needs_rounds)["copy_more_rounds"]
    assert (claim.verdict, claim.ours) == (REPRODUCED, "+20.0 ± 0.0 points")
    claim = copying(tmp_path, lsh_4=perfect, lsh_2=perfect)["copy_more_rounds"]
    assert (claim.verdict, claim.measured) == (NEEDS_MORE, None)
    assert "with one round" in claim.reason


def test_a_network_that_does_not_copy_leaves_the_claims_about_copying_open(tmp_path):
    copies, does_not = (0.02, 0.95, 0.93, 0.92, 0.80), (0.30, 0.5, 0.7, 0.8, 0.6)
    names = ("copy_lsh_to_full", "copy_monotone")
    claims = copying(tmp_path, lsh_2=copies, lsh_1=copies)
    assert [claims[name].ours for name in names] == ["2.0 ± 0.0 %", "+1.0 ± 0.0 points"]
    assert {claims[name].verdict for name in names} == {REPRODUCED}
    claims = copying(tmp_path, lsh_4=does_not, lsh_1=copies)
    assert {claims[name].verdict for name in names} == {NEEDS_MORE}
    assert "has not learned to copy: it reaches 90 %" in claims["copy_monotone"].reason


def test_switching_lsh_off_costs_each_network_by_its_own_seeds_and_the_least_sure_one_decides(tmp_path):
    write_simple(tmp_path)
    runs = {"wikipedia_lsh-2_reversible": [1, 2], "emoji_lsh-4_reversible": [1, 2, 3]}
    for name, offs in (("wikipedia_lsh-2_reversible", (0.5, 0.5)), ("emoji_lsh-4_reversible", (0.5, 0.25, 0.125))):
        for seed, off in enumerate(offs, 1):
            write_run(tmp_path, name, seed, bits=2.5, off=off)
    cost = learning.cost_of_lsh_off(results(tmp_path, list(runs), runs))
    assert cost.values == pytest.approx((0.5, 0.25, 0.125))
    judgement = judge(find("lsh_does_the_work"), results(tmp_path, list(runs), runs))
    assert judgement.verdict == UNDECIDED
    write_run(tmp_path, "emoji_lsh-4_reversible", 2, bits=5.85, off=0.0)  # too little learned to say anything
    cost = learning.cost_of_lsh_off(results(tmp_path, list(runs), runs))
    assert cost.values == pytest.approx((0.5, 0.5))
    for seed in (1, 2):
        write_run(tmp_path, "wikipedia_lsh-2_reversible", seed, bits=3.85)
    with pytest.raises(NotTested, match="bits/dim after so few steps"):
        learning.cost_of_lsh_off(results(tmp_path, list(runs), runs))


def test_the_crossing_of_two_power_laws_is_found_between_the_lengths(tmp_path):
    lengths = (512, 1024, 2048, 4096)
    write_speed(tmp_path, {"full": {n: n / 1000 for n in lengths}, "lsh-4": dict.fromkeys(lengths, 1.5)})
    measured = speed.overtaking_length(bare(tmp_path), "lsh-4", 4096)
    assert measured.mean == pytest.approx(1500, rel=0.01)
    low, high = measured.interval
    assert 1480 < low < 1500 < high < 1520
    assert measured.source == "median of 8 interleaved rounds"


def test_without_a_crossing_the_claim_fails_only_where_the_lengths_reach_its_limit(tmp_path):
    lengths = (512, 1024, 2048)
    write_speed(tmp_path, {"full": dict.fromkeys(lengths, 1.0), "lsh-4": dict.fromkeys(lengths, 1.5)})
    assert speed.overtaking_length(bare(tmp_path), "lsh-4", 2048).mean == inf
    with pytest.raises(NotTested, match="still faster at 2,048 tokens, where the measurement ends"):
        speed.overtaking_length(bare(tmp_path), "lsh-4", 4096)


def test_lsh_attention_that_is_faster_from_the_start_crosses_at_the_first_length(tmp_path):
    write_speed(tmp_path, {"full": {512: 2.0, 1024: 3.0}, "lsh-4": {512: 1.5, 1024: 1.5}})
    assert speed.overtaking_length(bare(tmp_path), "lsh-4", 4096).mean == 512


def test_lsh_attention_that_is_faster_at_the_shortest_length_only_does_not_overtake(tmp_path):
    times = {512: 0.9, 1024: 1.5, 2048: 1.5, 4096: 1.5}
    write_speed(tmp_path, {"full": dict.fromkeys(times, 1.0), "lsh-4": times})
    assert speed.overtaking_length(bare(tmp_path), "lsh-4", 4096).mean == inf
    with pytest.raises(NotTested, match="still faster at 4,096 tokens"):
        speed.overtaking_length(bare(tmp_path), "lsh-4", 8192)


def test_the_crossing_is_the_last_one(tmp_path):
    times = {512: 0.5, 1024: 2.0, 2048: 0.5, 4096: 0.5}
    write_speed(tmp_path, {"full": dict.fromkeys(times, 1.0), "lsh-4": times})
    measured = speed.overtaking_length(bare(tmp_path), "lsh-4", 4096)
    assert measured.mean == pytest.approx(1448, rel=0.01)


def test_growth_with_length_is_the_worst_of_the_hash_rounds_by_ratios_within_a_round(tmp_path):
    write_speed(tmp_path, {"full": {512: 1, 4096: 9}, "lsh-1": {512: 2, 4096: 2}, "lsh-2": {512: 4, 4096: 6}})
    measured = speed.lsh_time_growth(bare(tmp_path))
    assert measured.mean == pytest.approx(1.5, rel=0.002)
    low, high = measured.interval
    assert 1.49 < low < measured.mean < high < 1.51  # each time varies by five per cent, and both of a round alike


def test_the_growth_of_full_attention_is_that_of_two_doublings(tmp_path):
    write_speed(tmp_path, {"full": {512: 1.0, 1024: 2.0, 4096: 8.0}})
    assert speed.full_time_growth(bare(tmp_path)).mean == pytest.approx(4.0, rel=0.002)
    write_speed(tmp_path, {"full": {512: 1.0, 2048: 8.0}})
    with pytest.raises(NotTested, match="a claim about long ones needs 4,096"):
        speed.full_time_growth(bare(tmp_path))


@pytest.mark.parametrize("n", [8, 9, 12, 15])
def test_the_interval_of_a_median_contains_the_true_one_as_often_as_it_says(n):
    values = [float(number) for number in range(n)]
    low, high = speed.interval_of_median(values)
    # Of all ways in which n values lie below or above the true median, those in which the interval misses it on one side.
    missed = sum(sum(signs) <= low for signs in product((0, 1), repeat=n)) / 2**n
    wider = sum(sum(signs) <= low + 1 for signs in product((0, 1), repeat=n)) / 2**n
    assert missed <= speed.MISSED < wider
    assert high == n - 1 - low


def test_too_few_rounds_give_no_interval():
    with pytest.raises(NotTested, match=r"set benchmark\.repeats to 8 or more"):
        speed.interval_of_median([1.0] * 7)


def test_memory_per_layer_is_a_slope_and_not_a_ratio_of_peaks(tmp_path):
    ordinary, reversible = {2: 130.0, 3: 140.0, 5: 160.0}, {2: 1002.0, 3: 1003.0, 5: 1005.0}
    write_memory(tmp_path, "n_layers", {STORED: ordinary, ALL: reversible})
    assert isclose(memory.slope_ratio(bare(tmp_path)).mean, 0.1, rel_tol=1e-9)


def test_memory_that_does_not_grow_without_the_technique_either_tests_nothing(tmp_path):
    write_memory(tmp_path, "n_layers", {STORED: {2: 130.0, 3: 130.0}, ALL: {2: 100.0, 3: 100.0}})
    with pytest.raises(NotTested, match="these sizes are too small"):
        memory.slope_ratio(bare(tmp_path))
    write_memory(tmp_path, "d_ff", {WHOLE: {8: 100.0, 64: 105.0}, ALL: {8: 100.0, 64: 105.0}})
    with pytest.raises(NotTested, match="these sizes are too small"):
        memory.growth_with_d_ff(bare(tmp_path))
    write_memory(tmp_path, "d_ff", {WHOLE: {8: 100.0, 64: 105.0}, ALL: {8: 100.0, 64: 120.0}})
    assert isclose(memory.growth_with_d_ff(bare(tmp_path)).mean, 1.2)


def test_memory_is_compared_at_the_greatest_length_that_both_could_be_measured_at(tmp_path):
    write_memory(tmp_path, "seq_len", {ALL: {2048: 3.0, 512: 1.0, 1024: 2.0}, NONE_UNFUSED: {512: 8.0, 1024: 32.0}})
    measured = memory.share_without(bare(tmp_path), techniques.NO_TECHNIQUE_UNFUSED)
    assert (measured.mean, measured.source) == (1 / 16, "at 1,024 tokens, peaks exact to 2 %")
    assert measured.interval == (pytest.approx(0.98 / 1.02 / 16), pytest.approx(1.02 / 0.98 / 16))
    with pytest.raises(NotTested, match="no length"):
        memory.share_without(bare(tmp_path), techniques.NO_TECHNIQUE)


def test_a_peak_that_was_not_seen_is_no_measure_of_growth(tmp_path):
    write_memory(tmp_path, "n_hashes", {ALL: {1: 0.0, 8: 100.0}})
    with pytest.raises(NotTested, match="too small to be measured"):
        memory.growth_with_rounds(bare(tmp_path))
    write_memory(tmp_path, "n_hashes", {ALL: {8: 100.0}})
    with pytest.raises(NotTested, match="fewer than two"):
        memory.growth_with_rounds(bare(tmp_path))


def test_the_depths_are_sorted_with_the_usual_one_among_them(tmp_path):
    names = ["wikipedia_lsh-2_reversible_layers-6", "wikipedia_lsh-2_reversible_layers-1", "wikipedia_lsh-2_reversible"]
    for name in [*names, "wikipedia_full_reversible"]:
        write_run(tmp_path, name, 1)
    groups = results(tmp_path, [*names, "wikipedia_full_reversible"]).along("text", "model.n_layers")
    assert [group.first().train["n_layers"] for group in groups] == [1, 3, 6]


def test_networks_are_compared_with_the_seeds_that_both_have(tmp_path):
    seeds = {"emoji_full_reversible": (1, 2, 3), "emoji_lsh-8_reversible": (3, 4)}
    for name, of_name in seeds.items():
        for seed in of_name:
            write_run(tmp_path, name, seed, bits=seed / 2)
    measured = over_seeds(
        results(tmp_path, list(seeds), seeds).groups, lambda one, other: one.score("trained") + other.score("trained")
    )
    assert (measured.values, measured.n_wanted) == ((pytest.approx(3.0),), 3)
    seeds["emoji_full_reversible"] = (1, 2)
    with pytest.raises(NotTested, match="no seed is common to the runs that are compared"):
        over_seeds(results(tmp_path, list(seeds), seeds).groups, lambda one, other: 0.0)
