import pytest
from fake_results import RUNS, write_results, write_run

from reformer.report.measured import BITS, MORE_PERCENT, PERCENT, TIMES, Measured, over_seeds
from reformer.report.results import IMAGES, TEXTS, NotTested, Results, RunSpec
from reformer.settings import SettingError


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("photos_full_ordinary", RunSpec("photos", "full", reversible=False)),
        ("imagenet64_small_lsh-8_reversible", RunSpec("imagenet64_small", "lsh-8", reversible=True)),
        ("enwik8_local-local-lsh-2_reversible_layers-12", RunSpec("enwik8", "local-local-lsh-2", True, n_layers=12)),
        ("enwik8_full_reversible_separate-qk_layers-6", RunSpec("enwik8", "full", True, shared_qk=False, n_layers=6)),
        ("enwik8_full_reversible_dropout-0.1", RunSpec("enwik8", "full", True, other="dropout-0.1")),
    ],
)
def test_a_runs_name_says_what_it_is(name, spec):
    assert RunSpec.parse(name) == spec


def test_only_pure_lsh_attention_has_a_number_of_rounds():
    assert RunSpec("photos", "lsh-16", True).n_hashes == 16
    assert RunSpec("photos", "local-lsh-2", True).n_hashes == 0


def test_a_name_of_another_form_is_refused_in_one_line(tmp_path):
    with pytest.raises(SettingError, match=r"^runs must be named <data>_.*, got 'photos-full'$"):
        Results(tmp_path, "cpu", {"photos-full": [1]})


def test_a_missing_number_says_which_file_or_evaluation_is_missing(tmp_path):
    folder = write_run(tmp_path, RUNS[0], 1)
    run = Results(tmp_path, "cpu", {RUNS[0]: [1]}).groups[0].runs[1]
    with pytest.raises(NotTested, match=r"^duplication_full_reversible_seed-1 was not evaluated with lsh-16$"):
        run.score("lsh-16")
    for name, read in (("curve.csv", lambda run: run.curve("val", "loss")), ("train.json", lambda run: run.train)):
        (folder / name).unlink()
        with pytest.raises(NotTested, match=f"^runs/{folder.name}/{name} is missing$"):
            read(run)


def test_a_file_cut_off_in_the_middle_counts_as_missing(tmp_path):
    folder = write_run(tmp_path, RUNS[0], 1)
    path = folder / "evaluation.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(NotTested, match=r"evaluation.json is not readable"):
        Results(tmp_path, "cpu", {RUNS[0]: [1]}).groups[0].runs[1].score("full")


def test_the_score_as_trained_is_found_under_either_name(tmp_path):
    write_run(tmp_path, "photos_lsh-2_reversible", 1, bits=5.5)
    run = Results(tmp_path, "cpu", {"photos_lsh-2_reversible": [1]}).groups[0].runs[1]
    assert run.score("trained") == 5.5
    run.evaluation["results"] = {"lsh-2": {"bits_per_dim": 5.25}}
    assert run.score("trained") == 5.25


def test_the_papers_data_sets_go_before_their_small_stand_ins(tmp_path):
    assert Results(tmp_path, "cpu", dict.fromkeys(RUNS, (1,))).data(TEXTS) == "wikipedia"
    assert Results(tmp_path, "paper", dict.fromkeys([*RUNS, "enwik8_full_ordinary"], (1,))).data(TEXTS) == "enwik8"
    assert Results(tmp_path, "cpu", {}).data(IMAGES) == "photos"


def test_runs_with_something_unusual_are_found_only_when_asked_for(tmp_path):
    names = ["photos_full_ordinary_separate-qk", "photos_full_ordinary_layers-6", "photos_full_ordinary"]
    results = Results(tmp_path, "cpu", dict.fromkeys(names, (1,)))
    assert [group.name for group in results.select("photos", attention="full")] == ["photos_full_ordinary"]
    assert results.find("photos", n_layers=6).name == "photos_full_ordinary_layers-6"


def test_twins_differ_in_one_thing_only(tmp_path):
    names = ["photos_full_ordinary", "photos_lsh-1_reversible", "photos_lsh-2_reversible", "photos_lsh-2_ordinary"]
    results = Results(tmp_path, "cpu", dict.fromkeys(names, (1,)))
    pair = results.twins("photos", "reversible")
    assert [group.name for group in pair] == ["photos_lsh-2_reversible", "photos_lsh-2_ordinary"]
    with pytest.raises(NotTested, match="no such pair of runs on photos in profile cpu"):
        results.twins("photos", "shared_qk")


def test_seeds_without_a_number_are_left_out_and_counted(tmp_path):
    write_results(tmp_path, ["photos_full_ordinary"], seeds=(1, 2, 3))
    (tmp_path / "runs" / "photos_full_ordinary_seed-2" / "evaluation.json").unlink()
    group = Results(tmp_path, "cpu", {"photos_full_ordinary": [1, 2, 3]}).groups[0]
    measured = over_seeds([group], lambda run: float(run.seed))
    assert measured.values == (1.0, 2.0, 3.0)
    measured = over_seeds([group], lambda run: run.score("trained") * 0 + run.seed)
    assert (measured.values, measured.basis(BITS)) == ((1.0, 3.0), "2 of 3 seeds")


def test_numbers_are_written_with_unit_sign_and_spread():
    assert Measured((0.98, 1.0), n_wanted=2).text(PERCENT) == "99.0 ± 1.4 %"
    assert Measured((0.5,)).text(PERCENT) == "50.0 %"
    assert MORE_PERCENT.text(-0.0123) == "−1.2 %"
    assert MORE_PERCENT.text(-0.0000123) == "0.0 %"
    assert TIMES.text(float("inf")) == "none"
    assert Measured((1.5,), low=1.25, high=1.75).basis(TIMES) == "1.25 to 1.75 by the timings"
    assert Measured((1.5,), n_wanted=1).basis(BITS) == "one seed, spread unknown"
    assert Measured((1.5,), n_wanted=3).basis(BITS) == "1 of 3 seeds, spread unknown"
    assert Measured((1.5,), source="with 4 rounds", n_wanted=1).basis(BITS) == "with 4 rounds; one seed, spread unknown"
    assert Measured((1.5,), source="peak of one process").basis(TIMES) == "peak of one process"
