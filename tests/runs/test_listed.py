"""A study compares the listed runs that fit it, each with all of its seeds, or says which run is missing."""

import pytest

from reformer.runs.listed import ListedRuns, NotListed, kind_of
from reformer.settings import SettingError

DATA = {"text": "letters", "images": "pictures"}
TRANSFORMER = "full_ordinary_separate-qk"


def listed(seeds: dict[str, list[int]] | None = None, **runs: list[str]) -> ListedRuns:
    return ListedRuns.of(runs, seeds or {}, **DATA)


def test_each_list_gives_its_runs_their_data_set_seeds_and_list() -> None:
    found = listed(
        {"text": [1, 2, 3], "text_depth": [7], "duplication": [4, 5]},
        text=["lsh-4_reversible"],
        text_depth=["lsh-4_reversible_layers-6"],
        images=["full_reversible"],
        duplication=["lsh-1_reversible"],
    )
    assert found.seeds == {
        "letters_lsh-4_reversible": [1, 2, 3],
        "letters_lsh-4_reversible_layers-6": [7],
        "pictures_full_reversible": [],
        "duplication_lsh-1_reversible": [4, 5],
    }
    assert found.parts == {
        "letters_lsh-4_reversible": "text",
        "letters_lsh-4_reversible_layers-6": "text_depth",
        "pictures_full_reversible": "images",
        "duplication_lsh-1_reversible": "duplication",
    }
    assert [found.kind(name) for name in found.seeds] == ["text", "text", "images", "duplication"]


@pytest.mark.parametrize(
    ("part", "kind"), [("text", "text"), ("images_pair_2", "images"), ("duplication_x", "duplication")]
)
def test_the_first_word_of_a_list_is_its_kind_of_data(part: str, kind: str) -> None:
    assert kind_of(part) == kind


def test_a_list_of_another_name_is_refused() -> None:
    with pytest.raises(
        SettingError, match=r"^runs\.texts must be named after its kind of data, .*text.*, as text_depth$"
    ):
        listed(texts=["lsh-4_reversible"])


ROUNDS = ["lsh-16_reversible", "lsh-2_reversible", "full_reversible", "lsh-4_ordinary", "lsh-8_reversible_layers-6"]


def test_rounds_come_in_order_with_nothing_else_changed() -> None:
    found = listed(text=ROUNDS, images=["lsh-1_reversible", "local_reversible"])
    assert found.by_rounds("text") == ["letters_lsh-2_reversible", "letters_lsh-16_reversible"]
    assert found.with_full_and_rounds("text") == ["letters_full_reversible", *found.by_rounds("text")]
    assert found.with_full_and_rounds("images") == ["pictures_lsh-1_reversible"]
    assert found.all_of("images") == ["pictures_lsh-1_reversible", "pictures_local_reversible"]
    assert found.hashing() == [f"letters_{name}" for name in ROUNDS if "lsh" in name] + ["pictures_lsh-1_reversible"]


def test_a_run_that_is_not_listed_is_named() -> None:
    found = listed(text=["lsh-4_ordinary"])
    with pytest.raises(NotListed, match=r"^no run full_reversible on letters is listed$"):
        found.find("text", "full")
    with pytest.raises(NotListed, match=r"^no LSH run on letters is listed$"):
        found.by_rounds("text")
    with pytest.raises(NotListed, match=r"^no LSH run on pictures is listed$"):
        found.by_rounds("images")


# Reformer against Transformer


@pytest.mark.parametrize(
    ("names", "reformer", "transformer"),
    [
        (["lsh-4_reversible", TRANSFORMER], 0, 1),
        ([TRANSFORMER, "lsh-2_reversible"], 1, 0),
        (["lsh-8_reversible", "lsh-4_reversible", "lsh-1_reversible", TRANSFORMER], 1, 3),
        (["lsh-4_reversible_lr-0.002", f"{TRANSFORMER}_lr-0.0005", "lsh-4_ordinary", "full_reversible"], 0, 1),
        (["local-lsh-4_reversible", TRANSFORMER], 0, 1),
    ],
)
def test_the_reformer_with_four_rounds_meets_the_transformer(names: list[str], reformer: int, transformer: int) -> None:
    """Each may have the learning rate that was found for it."""
    pair = (f"letters_{names[reformer]}", f"letters_{names[transformer]}")
    assert listed(text=names).against_transformer("text") == pair


@pytest.mark.parametrize(
    "names",
    [
        ["lsh-4_reversible", "full_ordinary", "full_reversible_separate-qk"],
        [TRANSFORMER, "lsh-4_ordinary", "full_reversible", "lsh-4_reversible_separate-qk"],
        ["lsh-4_reversible_layers-6", f"{TRANSFORMER}_layers-6"],
        ["lsh-4_reversible", f"{TRANSFORMER}_steps-9".replace("steps", "max-steps")],
    ],
)
def test_without_a_reformer_or_a_transformer_of_equal_sizes_nothing_is_compared(names: list[str]) -> None:
    with pytest.raises(
        NotListed, match=r"^no Reformer and Transformer \(full_ordinary_separate-qk\) on letters are listed"
    ):
        listed(text=names).against_transformer("text")


@pytest.mark.parametrize(
    "names",
    [
        ["lsh-1_reversible", "lsh-2_reversible", TRANSFORMER],
        ["lsh-4_reversible", "lsh-4_reversible_lr-0.002", TRANSFORMER],
        ["lsh-4_reversible", TRANSFORMER, f"{TRANSFORMER}_lr-0.002"],
    ],
)
def test_two_pairs_are_one_too_many(names: list[str]) -> None:
    with pytest.raises(
        SettingError, match=r"^runs: \(.*\) and \(.*\) both compare a Reformer with the Transformer: leave"
    ):
        listed(text=names).against_transformer("text")


def test_pairs_of_several_kinds_are_joined_and_one_kind_suffices() -> None:
    pair = ["lsh-4_reversible", TRANSFORMER]
    both = listed(text=pair, images=["lsh-2_reversible", TRANSFORMER])
    assert both.against_transformers(["text", "images"]) == [
        *both.against_transformer("text"),
        *both.against_transformer("images"),
    ]
    assert listed(images=pair).against_transformers(["text", "images"]) == [f"pictures_{name}" for name in pair]
    with pytest.raises(NotListed, match=r"^no Reformer and Transformer .* are listed on the same data$"):
        listed(text=pair[:1], images=pair[1:]).against_transformers(["text", "images"])


# Twins


@pytest.mark.parametrize(
    ("attribute", "names", "first", "second"),
    [
        ("reversible", ["lsh-4_ordinary", "lsh-4_reversible", "full_reversible"], 1, 0),
        ("shared_qk", ["full_reversible", "full_reversible_separate-qk"], 0, 1),
        ("shared_qk", ["full_reversible_separate-qk_lr-0.004", "full_reversible_lr-0.001"], 1, 0),
        ("reversible", ["full_reversible_lr-0.001", "full_ordinary", TRANSFORMER], 0, 1),
    ],
)
def test_twins_differ_in_one_attribute_and_their_learning_rates_alone(
    attribute: str, names: list[str], first: int, second: int
) -> None:
    assert listed(text=names).twins("text", attribute) == (f"letters_{names[first]}", f"letters_{names[second]}")


@pytest.mark.parametrize(
    "names", [["full_reversible"], ["full_reversible", TRANSFORMER], ["full_reversible", "lsh-4_ordinary"]]
)
def test_runs_that_differ_in_more_are_no_twins(names: list[str]) -> None:
    for attribute in ("reversible", "shared_qk"):
        with pytest.raises(NotListed, match=f"^no two runs on letters that differ in {attribute} alone are listed$"):
            listed(text=names).twins("text", attribute)


def test_twins_of_other_data_are_no_twins() -> None:
    with pytest.raises(NotListed):
        listed(text=["full_reversible"], images=["full_ordinary"]).twins("text", "reversible")


def test_two_pairs_of_twins_are_one_too_many() -> None:
    names = ["full_reversible", "full_ordinary", "lsh-4_reversible", "lsh-4_ordinary"]
    with pytest.raises(SettingError, match=r"both differ in reversible alone: leave only one"):
        listed(text=names).twins("text", "reversible")


# Along a setting


def test_runs_along_a_setting_begin_with_the_usual_value_and_go_by_number() -> None:
    names = ["lsh-4_reversible_layers-12", "lsh-4_reversible_layers-6", "lsh-4_reversible", "full_reversible"]
    order = [2, 1, 0]
    assert listed(text=names).along("text", "model.n_layers") == [f"letters_{names[at]}" for at in order]
    with pytest.raises(NotListed, match=r"^no two runs on letters that differ in model\.dropout alone are listed$"):
        listed(text=names).along("text", "model.dropout")


def test_two_families_along_a_setting_are_one_too_many() -> None:
    families = [f"{first}{more}" for first in ("lsh-4_reversible", "full_reversible") for more in ("", "_layers-6")]
    with pytest.raises(SettingError, match=r"both differ in model\.n_layers alone: leave only one"):
        listed(text=families).along("text", "model.n_layers")
