import pytest
from fake_results import ALL_RUNS, PARTS, RUNS, files_of, results, write_json, write_results, write_run, write_simple

from reformer.files import Root, read_json
from reformer.report.build import metrics
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import judge
from reformer.report.evidence.labels import distinct_labels
from reformer.report.evidence.measured import MORE_PERCENT, PERCENT, TIMES, Measured, over_seeds
from reformer.report.evidence.results import NotTested, Results
from reformer.runs.listed import ListedRuns
from reformer.runs.name import RunSpec
from reformer.settings import SettingError

LAYERS = "model.n_layers"


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("emoji_full_ordinary", RunSpec("emoji", "full", reversible=False)),
        ("imagenet64_small_lsh-8_reversible", RunSpec("imagenet64_small", "lsh-8")),
        (
            "enwik8_local-local-lsh-2_reversible_layers-12",
            RunSpec("enwik8", "local-local-lsh-2", others=((LAYERS, "12"),)),
        ),
        (
            "enwik8_full_reversible_separate-qk_layers-6",
            RunSpec("enwik8", "full", shared_qk=False, others=((LAYERS, "6"),)),
        ),
        ("enwik8_full_reversible_lr-0.1", RunSpec("enwik8", "full", others=(("optimizer.lr", "0.1"),))),
    ],
)
def test_a_runs_name_says_what_it_is(name, spec):
    assert RunSpec.parse(name) == spec


def test_only_pure_lsh_attention_has_a_number_of_rounds():
    assert RunSpec("emoji", "lsh-16", True).n_hashes == 16
    assert RunSpec("emoji", "local-lsh-2", True).n_hashes == 0


def test_a_name_of_another_form_is_refused_in_one_line(tmp_path):
    with pytest.raises(SettingError, match=r"^runs must be named <data>_.*, got 'emoji-full'$"):
        assert results(tmp_path, ["emoji-full"]).groups


def test_a_missing_number_says_which_file_or_evaluation_is_missing(tmp_path):
    folder = write_run(tmp_path, RUNS[0], 1)
    run = results(tmp_path, RUNS[:1]).groups[0].runs[1]
    with pytest.raises(NotTested, match=r"^duplication_full_reversible_seed-1 was not evaluated with lsh-16$"):
        run.score("lsh-16")
    for name, read in (("curve.csv", lambda run: run.validation("loss")), ("train.json", lambda run: run.train)):
        (folder / name).unlink()
        with pytest.raises(NotTested, match=f"^{folder.name}/{name} is missing$"):
            read(run)


def test_a_file_cut_off_in_the_middle_counts_as_missing(tmp_path):
    write_run(tmp_path, RUNS[0], 1)
    path = files_of(tmp_path, f"{RUNS[0]}_seed-1").evaluation
    path.write_text(path.read_text()[:40])
    with pytest.raises(NotTested, match=r"^duplication/duplication_full_reversible_seed-1.json is damaged$"):
        results(tmp_path, RUNS[:1]).groups[0].runs[1].score("full")


def test_the_score_as_trained_is_found_under_either_name(tmp_path):
    write_run(tmp_path, "emoji_lsh-2_reversible", 1, bits=5.5)
    run = results(tmp_path, ["emoji_lsh-2_reversible"]).groups[0].runs[1]
    assert run.score("trained") == 5.5
    run.evaluation["results"] = {"lsh-2": {"bits_per_dim": 5.25}}
    assert run.score("trained") == 5.25


def test_new_data_sets_of_params_yaml_have_all_their_claims_judged(tmp_path, monkeypatch):
    lists: dict[str, list[str]] = {}
    for name in ALL_RUNS:
        data, _, rest = name.partition("_")
        lists.setdefault({"wikipedia": "text", "emoji": "images"}.get(data, data), []).append(rest)
    found = ListedRuns.of(lists, dict.fromkeys(lists, (1, 2, 3)), text="mytext", images="my_pictures")
    monkeypatch.setitem(PARTS, "my_pictures", "images")
    write_results(tmp_path, list(found.seeds), (1, 2, 3))
    write_simple(tmp_path, {"mytext": {"byte pairs": 5.9}, "my_pictures": {"pixel on the left": 5.9}})
    assert {"mytext_lsh-2_ordinary", "my_pictures_full_ordinary"} <= found.seeds.keys()

    def measured(claim, found):
        return judge(claim, Results(Root(tmp_path), "cpu", found)).measured or claim.study == "full_size"

    assert [claim.id for claim in CLAIMS if not measured(claim, found)] == ["million_tokens"]


def test_the_order_of_the_lists_decides_nothing(tmp_path):
    runs = [*ALL_RUNS, "wikipedia_lsh-4_reversible", "wikipedia_lsh-2_reversible_layers-1", "emoji_lsh-4_ordinary"]
    runs.remove("emoji_full_ordinary")
    write_results(tmp_path, runs, (1, 2, 3))
    forward, backward = (results(tmp_path, ordered, (1, 2, 3)) for ordered in (runs, runs[::-1]))
    judgements = [[judge(claim, found) for claim in CLAIMS] for found in (forward, backward)]
    assert judgements[0] == judgements[1]
    unmeasured = {judgement.claim.id for judgement in judgements[0] if not judgement.measured}
    assert unmeasured == {"million_tokens", "enwik8_deep", "imagenet64_full", "translation"}
    assert metrics(forward, judgements[0]) == metrics(backward, judgements[1])


@pytest.mark.parametrize(
    ("claim_id", "end"), [("reversible_text", "ordinary"), ("deeper_is_better", "reversible_layers-6")]
)
def test_two_selections_that_fit_are_an_error_that_names_both(tmp_path, claim_id, end):
    runs = [f"wikipedia_{attention}_{rest}" for attention in ("full", "lsh-2") for rest in ("reversible", end)]
    claim = next(claim for claim in CLAIMS if claim.id == claim_id)
    for ordered in (runs, runs[::-1]):
        with pytest.raises(SettingError, match=r"^runs: \(.*\) and \(.*\) both differ in .*: leave only one") as error:
            judge(claim, results(tmp_path, ordered))
        assert all(name in str(error.value) for name in runs)


def test_runs_along_a_setting_are_ordered_by_their_actual_value(tmp_path):
    names = [f"wikipedia_full_reversible{end}" for end in ("_lr-0.01", "", "_lr-0.0001", "_lr-3e-05")]
    for name in names:
        write_run(tmp_path, name, 1)
    groups = results(tmp_path, names).along("text", "optimizer.lr")
    assert [group.value("optimizer.lr") for group in groups] == ["3e-05", "0.0001", "0.001", "0.01"]
    assert distinct_labels(groups) == ["lr 3e-05", "lr 0.0001", "lr 0.001", "lr 0.01"]


@pytest.mark.parametrize("has_settings", [True, False])
def test_the_shallowest_network_is_compared_with_the_deepest(tmp_path, has_settings):
    write_simple(tmp_path)
    bits = {"_layers-1": 2.5, "": 3.0, "_layers-6": 2.25}  # the usual number of layers is 3
    for end, score in bits.items():
        path = write_run(tmp_path, f"wikipedia_full_reversible{end}", 1, bits=score) / "train.json"
        content = read_json(path)
        if not has_settings:
            del content["settings"]
        write_json(path, content)
    (claim,) = (claim for claim in CLAIMS if claim.id == "deeper_is_better")
    assert judge(claim, results(tmp_path, [f"wikipedia_full_reversible{end}" for end in bits])).measured.values == (
        pytest.approx(0.25),
    )


def test_a_setting_that_no_file_contains_is_told(tmp_path):
    write_run(tmp_path, RUNS[0], 1)
    with pytest.raises(
        NotTested, match=r"^duplication_full_reversible_seed-1/train.json does not contain model.d_key$"
    ):
        results(tmp_path, RUNS[:1]).groups[0].value("model.d_key")


def test_runs_with_unusual_settings_are_compared_only_along_those(tmp_path):
    names = ["emoji_full_reversible_layers-6", "emoji_full_reversible", "emoji_full_ordinary"]
    found = results(tmp_path, names)
    assert [group.name for group in found.select(ListedRuns.find, "images", "full")] == ["emoji_full_reversible"]
    with pytest.raises(NotTested, match="no run lsh-1_reversible on emoji is listed"):
        found.select(ListedRuns.find, "images", "lsh-1")


def test_seeds_without_a_number_are_left_out_and_counted(tmp_path):
    write_results(tmp_path, ["emoji_full_ordinary"], seeds=(1, 2, 3))
    files_of(tmp_path, "emoji_full_ordinary_seed-2").evaluation.unlink()
    group = results(tmp_path, ["emoji_full_ordinary"], (1, 2, 3)).groups[0]
    measured = over_seeds([group], lambda run: float(run.seed))
    assert measured.values == (1.0, 2.0, 3.0)
    measured = over_seeds([group], lambda run: run.score("trained") * 0 + run.seed)
    assert (measured.values, measured.basis()) == ((1.0, 3.0), "2 of 3 seeds, 4 test units")


def test_numbers_are_written_with_unit_sign_and_spread():
    assert Measured((0.98, 1.0), n_wanted=2).text(PERCENT) == "99.0 ± 1.4 %"
    assert Measured((0.5,)).text(PERCENT) == "50.0 %"
    assert MORE_PERCENT.text(-0.0123) == "−1.2 %"
    assert MORE_PERCENT.text(-0.0000123) == "0.0 %"
    assert TIMES.text(float("inf")) == "none"
    assert Measured((1.5,), n_wanted=1).basis() == "one seed"
    assert Measured((1.5,), n_wanted=3).basis() == "1 of 3 seeds"
    assert Measured((1.5,), source="with 4 rounds", n_wanted=1, n_units=1200).basis() == (
        "with 4 rounds, one seed, 1,200 test units"
    )
    assert Measured((1.5,), source="peak of one process").basis() == "peak of one process"
