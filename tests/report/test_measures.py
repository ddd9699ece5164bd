from math import inf, isclose

import pytest
from fake_results import ALL, ALL_RUNS, NONE_UNFUSED, STORED, WHOLE, results, write_memory, write_run, write_speed

from reformer.bench import techniques
from reformer.report.claims import learning, memory, speed
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, judge
from reformer.report.evidence.measured import over_seeds
from reformer.report.evidence.results import NotTested

PAIR = ["wikipedia_lsh-2_reversible", "wikipedia_lsh-2_ordinary"]


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
        write_run(root, name, 1, accuracy=dict(zip(("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1"), row, strict=True)))
        names[name] = (1,)
    return {claim.id: judge(claim, results(root, names)) for claim in CLAIMS if claim.study == "duplication"}


@pytest.mark.parametrize("difference", [-0.019, 0.019, -0.03])
def test_parity_cannot_be_told_with_one_seed(tmp_path, difference):
    judgement = judged(tmp_path, [2.5 + difference], [2.5])
    assert judgement.verdict == NOT_TESTED
    assert judgement.basis == "one seed: the difference may be chance"


@pytest.mark.parametrize(("difference", "verdict"), [(0.019, REPRODUCED), (-0.3, REPRODUCED), (0.03, NOT_REPRODUCED)])
def test_a_one_sided_claim_with_one_seed_is_judged_by_the_difference_alone(tmp_path, difference, verdict):
    names = ["wikipedia_full_reversible", "wikipedia_full_reversible_separate-qk"]
    judgement = judged(tmp_path, [2.5 + difference], [2.5], "shared_qk_text", names)
    assert (judgement.verdict, judgement.basis) == (verdict, "one seed")


def test_eight_rounds_are_held_against_full_attention_though_more_were_trained(tmp_path):
    scores = {"full": 5.0, "lsh-4": 5.5, "lsh-8": 5.1, "lsh-16": 4.9}
    names = {attention: f"photos_{attention}_reversible" for attention in scores}
    for attention, name in names.items():
        write_run(tmp_path, name, 1, bits=scores[attention])
    measured = learning.eight_rounds_against_full(results(tmp_path, list(names.values())))
    assert (measured.mean, measured.source) == (pytest.approx(0.02), "")
    del names["lsh-8"], names["lsh-16"]
    measured = learning.eight_rounds_against_full(results(tmp_path, list(names.values())))
    assert (measured.mean, measured.source) == (pytest.approx(0.1), "with 4 rounds, the most trained")


def test_parity_pairs_the_seeds_so_that_what_both_networks_share_is_no_spread(tmp_path):
    judgement = judged(tmp_path, [2.51, 2.91, 2.21], [2.50, 2.90, 2.20])
    assert judgement.ours == "+0.0100 ± 0.0000 bits/dim"
    assert judgement.verdict == REPRODUCED


@pytest.mark.parametrize(
    ("differences", "interval", "verdict"),
    [
        ((0.004, 0.010, 0.016), "−0.0001 to +0.0201", NOT_TESTED),
        ((0.005, 0.010, 0.015), "+0.0016 to +0.0184", REPRODUCED),
        ((-0.004, -0.01, -0.016), "−0.0201 to +0.0001", NOT_TESTED),
        ((0.021, 0.022, 0.023), "+0.0203 to +0.0237", NOT_REPRODUCED),
        ((0.05, -0.01, 0.03), "−0.0282 to +0.0748", NOT_TESTED),
        ((0.001, -0.001), "−0.0063 to +0.0063", REPRODUCED),
    ],
)
def test_parity_with_seeds_wants_the_whole_interval_and_calls_a_wide_one_untested(
    tmp_path, differences, interval, verdict
):
    judgement = judged(tmp_path, [2.5 + difference for difference in differences], [2.5] * len(differences))
    assert judgement.verdict == verdict
    reason = ": too few seeds to tell" if verdict == NOT_TESTED else ""
    assert judgement.basis == f"{len(differences)} seeds, 90 % interval {interval}{reason}"
    assert "bits/dim" in judgement.ours


@pytest.mark.parametrize(
    ("rise", "interval", "verdict"),
    [
        ((-0.5, -0.3), "−1.031 to +0.231", NOT_TESTED),
        ((0.010, 0.012, 0.014), "+0.009 to +0.015", REPRODUCED),
        ((0.010, 0.030, 0.015), "+0.001 to +0.036", NOT_TESTED),
        ((0.030, 0.031, 0.032), "+0.029 to +0.033", NOT_REPRODUCED),
    ],
)
def test_one_sided_claims_want_the_whole_interval_too(tmp_path, rise, interval, verdict):
    names = ["wikipedia_full_reversible", "wikipedia_full_reversible_separate-qk"]
    judgement = judged(tmp_path, [2.5 + more for more in rise], [2.5] * len(rise), "shared_qk_text", names)
    reason = ": too few seeds to tell" if verdict == NOT_TESTED else ""
    assert (judgement.verdict, judgement.basis) == (verdict, f"{len(rise)} seeds, 90 % interval {interval}{reason}")


def test_two_seeds_can_be_too_few_to_tell_and_show_why(tmp_path):
    two = judged(tmp_path, [2.510, 2.513], [2.5, 2.5])
    assert two.verdict == NOT_TESTED
    assert two.basis == "2 seeds, 90 % interval +0.0020 to +0.0210: too few seeds to tell"
    assert two.ours == "+0.0115 ± 0.0021 bits/dim"


@pytest.mark.parametrize(("shared", "separate"), [(8.5, 8.1), (9.5, 7.5), (7.99, 9.5), (float("nan"), 2.5)])
def test_networks_are_not_compared_where_one_of_them_learned_nothing(tmp_path, shared, separate):
    with pytest.raises(NotTested, match="no better than a uniform guess, 8 bits/dim, on the test split of wikipedia"):
        parity(tmp_path, [shared], [separate])


def test_a_seed_with_which_a_network_learned_nothing_is_not_left_out_to_save_the_claim(tmp_path):
    names = ["wikipedia_full_reversible", "wikipedia_full_reversible_separate-qk"]
    judgement = judged(tmp_path, [2.5, 2.5, float("nan")], [2.6, 2.6, 2.6], "shared_qk_text", names)
    assert judgement.verdict == NOT_TESTED
    assert judgement.reason.startswith("wikipedia_full_reversible_seed-3 is no better than a uniform guess")


def test_one_network_worse_than_guessing_decides_nothing_about_rounds(tmp_path):
    names = ["photos_full_reversible", "photos_lsh-8_reversible"]
    judgement = judged(tmp_path, [9.5], [7.99], "rounds_close_to_full", names)
    assert judgement.verdict == NOT_TESTED
    assert "on the test split of photos" in judgement.reason


def test_rounds_can_win_nothing_back_where_one_round_misses_nothing(tmp_path):
    perfect, needs_rounds = (0.3, 1.0, 1.0, 1.0, 0.995), (0.3, 1.0, 0.99, 0.95, 0.8)
    claim = copying(tmp_path, lsh_4=perfect, lsh_2=needs_rounds)["copy_more_rounds"]
    assert (claim.verdict, claim.ours) == (REPRODUCED, "+20.0 points")
    claim = copying(tmp_path, lsh_4=perfect, lsh_2=perfect)["copy_more_rounds"]
    assert (claim.verdict, claim.measured) == (NOT_TESTED, None)
    assert "with one round" in claim.reason


def test_only_networks_that_copy_can_fail_with_full_attention_or_lose_by_rounds(tmp_path):
    copies, does_not = (0.02, 0.95, 0.93, 0.92, 0.80), (0.30, 0.5, 0.7, 0.8, 0.6)
    claims = copying(tmp_path, lsh_4=does_not, lsh_1=copies)
    assert (claims["copy_lsh_to_full"].verdict, claims["copy_lsh_to_full"].ours) == (REPRODUCED, "2.0 %")
    assert (claims["copy_monotone"].verdict, claims["copy_monotone"].ours) == (REPRODUCED, "+1.0 points")
    claims = copying(tmp_path, lsh_4=does_not, lsh_1=does_not)
    assert {claims[name].verdict for name in ("copy_lsh_to_full", "copy_monotone")} == {NOT_TESTED}


def test_switching_lsh_off_costs_each_network_by_its_own_seeds(tmp_path):
    runs = {"wikipedia_lsh-2_reversible": [1, 2], "photos_lsh-4_reversible": [1]}
    for seed, off in ((1, 0.5), (2, 0.53125)):
        write_run(tmp_path, "wikipedia_lsh-2_reversible", seed, bits=2.5, off=off)
    write_run(tmp_path, "photos_lsh-4_reversible", 1, bits=5.0, off=2.0)
    assert learning.cost_of_lsh_off(results(tmp_path, list(runs), runs)).values == (0.5, 0.53125)
    write_run(tmp_path, "photos_lsh-4_reversible", 1, bits=5.0, off=0.25)
    assert learning.cost_of_lsh_off(results(tmp_path, list(runs), runs)).values == (0.25,)
    for missed, values in (
        (0.2, (0.5, 0.53125)),
        (0.0, (0.125,)),
    ):  # what a network that cannot copy loses says nothing
        write_run(tmp_path, "duplication_lsh-4_reversible", 1, accuracy={"lsh-4": 1 - missed}, bits=1.0, off=0.125)
        copying = {"duplication_lsh-4_reversible": [1], "wikipedia_lsh-2_reversible": [1, 2]}
        assert learning.cost_of_lsh_off(results(tmp_path, list(copying), copying)).values == values
    write_run(tmp_path, "photos_lsh-4_reversible", 1, bits=8.5, off=0.25)
    assert learning.cost_of_lsh_off(results(tmp_path, list(runs), runs)).values == (0.5, 0.53125)


def test_the_network_whose_cost_of_switching_off_is_least_sure_decides(tmp_path):
    costs = {"wikipedia_lsh-2_reversible": (0.0625, 0.0625, 0.0625), "photos_lsh-4_reversible": (0.5, -0.125, 0.25)}
    for name, offs in costs.items():
        for seed, off in enumerate(offs, 1):
            write_run(tmp_path, name, seed, bits=2.5, off=off)
    judgement = judge(find("lsh_does_the_work"), results(tmp_path, list(costs), (1, 2, 3)))
    assert judgement.verdict == NOT_TESTED
    assert judgement.measured.values == (0.5, -0.125, 0.25)


def test_the_crossing_of_two_power_laws_is_found_between_the_lengths(tmp_path):
    lengths = (512, 1024, 2048, 4096)
    write_speed(tmp_path, {"full": {n: n / 1000 for n in lengths}, "lsh-4": dict.fromkeys(lengths, 1.5)})
    measured = speed.overtaking_length(bare(tmp_path), "lsh-4", 4096)
    assert isclose(measured.mean, 1500)
    assert measured.source == "between 1,024 and 2,048"


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
    assert (round(measured.mean), measured.source) == (1448, "between 1,024 and 2,048")


def test_growth_with_length_is_the_worst_of_the_rounds_with_the_range_of_the_timings(tmp_path):
    write_speed(tmp_path, {"full": {512: 1, 4096: 9}, "lsh-1": {512: 2, 4096: 2}, "lsh-2": {512: 4, 4096: 6}})
    measured = speed.lsh_time_growth(bare(tmp_path))
    assert isclose(measured.mean, 1.5)
    assert (measured.low, measured.high) == (pytest.approx(1.5 * 0.97 / 1.05), pytest.approx(1.5 * 1.05 / 0.97))


def test_the_growth_of_full_attention_is_that_of_one_doubling(tmp_path):
    write_speed(tmp_path, {"full": {128: 5.0, 512: 1.0, 4096: 8.0}})
    assert isclose(speed.full_time_growth(bare(tmp_path)).mean, 2.0)


def test_memory_per_layer_is_a_slope_and_not_a_ratio_of_peaks(tmp_path):
    ordinary, reversible = {2: 130.0, 3: 140.0, 5: 160.0}, {2: 1002.0, 3: 1003.0, 5: 1005.0}
    write_memory(tmp_path, "n_layers", {STORED: ordinary, ALL: reversible})
    assert isclose(memory.slope_ratio(bare(tmp_path)).mean, 0.1)


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
    assert (measured.mean, measured.source) == (1 / 16, "at 1,024 tokens")
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
    seeds = {"photos_full_reversible": (1, 2, 3), "photos_lsh-8_reversible": (3, 4)}
    for name, of_name in seeds.items():
        for seed in of_name:
            write_run(tmp_path, name, seed, bits=seed / 2)
    measured = over_seeds(
        results(tmp_path, list(seeds), seeds).groups, lambda one, other: one.score("trained") + other.score("trained")
    )
    assert (measured.values, measured.n_wanted) == ((pytest.approx(3.0),), 3)
    seeds["photos_full_reversible"] = (1, 2)
    with pytest.raises(NotTested, match="no seed is common to the runs that are compared"):
        over_seeds(results(tmp_path, list(seeds), seeds).groups, lambda one, other: 0.0)
