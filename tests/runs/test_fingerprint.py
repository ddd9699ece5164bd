"""A run's name and fingerprint change with the settings that trained weights depend on, and with no others."""

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.schema import compose_usual, run_config
from reformer.data.config import DATA_KINDS, DuplicationConfig, ImagesConfig, TextConfig
from reformer.files import WEIGHTS_DIGEST, Root, digest_of, write_json
from reformer.model.config import ReformerConfig
from reformer.runs.config import RunConfig
from reformer.runs.fingerprint import fingerprint, finished
from reformer.runs.name import SECTIONS, run_name
from reformer.settings import TRAINED, Role, SettingError, role_of

DATA = {
    "duplication": DuplicationConfig(name="duplication"),
    "text": TextConfig(name="letters"),
    "images": ImagesConfig(name="pictures"),
}
FOLLOWS_FROM_THE_NAME_OF_THE_DATA = "data.kind"


def run_on(kind: str) -> RunConfig:
    return RunConfig(data=deepcopy(DATA[kind]), model=ReformerConfig(max_seq_len=12288), name="a")


def settings_below(config: Any, before: str = "", outer: Role = Role.RESULT) -> Iterator[tuple[str, Role]]:
    """Every single setting with its role, which is that of its section unless the section's is RESULT."""
    setting: Field[Any]
    for setting in fields(config):
        role = role_of(setting) if outer is Role.RESULT else outer
        value = getattr(config, setting.name)
        if is_dataclass(value):
            yield from settings_below(value, f"{before}{setting.name}.", role)
        else:
            yield before + setting.name, role


def changed(run: RunConfig, key: str) -> RunConfig:
    """The run with another value of one setting."""
    other = deepcopy(run)
    *sections, name = key.split(".")
    section: Any = other
    for part in sections:
        section = getattr(section, part)
    value = getattr(section, name)
    another: dict[type, Any] = {
        bool: lambda: not value,
        int: lambda: value + 1,
        float: lambda: value + 0.5,
        str: lambda: f"{value}2",
        list: lambda: ["full"] if value == ["lsh"] else [*value, 1],
        dict: lambda: {**value, "train": 1},
    }
    setattr(section, name, another[type(value)]())
    return other


def name_beside(run: RunConfig, usual: RunConfig) -> str:
    return run_name(asdict(run), asdict(usual))


ALL = [(kind, key, role) for kind in DATA_KINDS for key, role in settings_below(run_on(kind))]


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, key, role in ALL if role in TRAINED])
def test_what_weights_depend_on_changes_name_and_fingerprint(kind: str, key: str) -> None:
    usual = run_on(kind)
    other = changed(usual, key)
    assert fingerprint(other) != fingerprint(usual)
    if key != FOLLOWS_FROM_THE_NAME_OF_THE_DATA:
        assert name_beside(other, usual) != name_beside(usual, usual)


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, key, role in ALL if role not in TRAINED])
def test_what_weights_do_not_depend_on_changes_neither(kind: str, key: str) -> None:
    usual = run_on(kind)
    other = changed(usual, key)
    assert other != usual
    assert fingerprint(other) == fingerprint(usual)
    assert name_beside(other, usual) == name_beside(usual, usual)


def test_the_settings_above_are_all_that_there_are() -> None:
    roles = {key: role for _, key, role in ALL}
    assert set(roles.values()) == set(Role)
    assert {key for key in roles if key.startswith("trainer.") and roles[key] is Role.EXECUTION} == {
        f"trainer.{name}"
        for name in ("val_every", "log_every", "accelerator", "strategy", "num_workers", "checkpoint_minutes")
    }


def test_kinds_of_data_agree_whether_weights_depend_on_a_setting() -> None:
    """Since a name is made of settings by their name alone."""
    found: dict[str, set[bool]] = {}
    for kind in SECTIONS["data"]:
        for setting in fields(kind):
            found.setdefault(setting.name, set()).add(role_of(setting) in TRAINED)
    assert all(len(answers) == 1 for answers in found.values())


def test_rounds_of_hashing_make_no_other_run_where_no_layer_hashes() -> None:
    usual = run_on("text")
    usual.model.attention = ["full"]
    other = changed(usual, "model.n_hashes")
    assert fingerprint(other) == fingerprint(usual)
    assert name_beside(other, usual) == name_beside(usual, usual)


@pytest.mark.parametrize("override", ["trainer.log_every=7", "trainer.num_workers=2", "trainer.accelerator=cpu"])
def test_a_finished_run_stays_finished_however_it_would_be_carried_out(tmp_path: Path, override: str) -> None:
    def composed(*overrides: str) -> RunConfig:
        return run_config(compose_usual(["data=wikipedia", "model.n_layers=3", f"root={tmp_path}", *overrides]))

    run = composed()
    run.files.folder.mkdir(parents=True)
    run.files.weights.write_bytes(b"weights")
    content = {"fingerprint": fingerprint(run), WEIGHTS_DIGEST: digest_of(run.files.weights)}
    write_json(run.files.train, content)
    assert composed(override).trainer != run.trainer
    assert finished(composed(override)) == content
    assert finished(composed("trainer.max_steps=7")) is None


@pytest.mark.parametrize("override", ["trainer.devices=2", "trainer.num_nodes=3"])
def test_another_number_of_devices_trains_other_weights(override: str) -> None:
    """Since each device draws its own dropout and hashes."""
    batch = "data.batch_size=6"
    usual, other = (run_config(compose_usual(["data=wikipedia", batch, *more])) for more in ([], [override]))
    assert fingerprint(other) != fingerprint(usual)
    assert other.name != usual.name


@pytest.mark.parametrize("name", ["../../escape", "/abs", "a/b", "..", ".", "a\\b", "a\0b", "x" * 201, "ü" * 101])
def test_a_name_never_leaves_its_folder(name: str) -> None:
    root = Root(Path("data"))
    for place, setting in ((root.raw, "data.name"), (root.processed, "data.name"), (root.run, "name")):
        with pytest.raises(SettingError, match=rf"^{setting} must be a name without / and of 200 bytes at most, got"):
            place(name)
    with pytest.raises(SettingError, match=r"^name must be a name without /"):
        RunConfig(data=deepcopy(DATA["text"]), name=name)
    with pytest.raises(SettingError, match=r"^data\.name must be a name without /"):
        RunConfig(data=TextConfig(name=name))


@pytest.mark.parametrize("name", ["a", ".hidden", "..a", "Größe 1", "wikipedia_lsh-4_reversible_seed-1", "x" * 200])
def test_any_other_name_is_one_folder(name: str) -> None:
    assert Root(Path("data")).run(name).folder == Path("data/runs") / name


def test_a_run_is_finished_only_for_the_very_same_settings(tmp_path: Path) -> None:
    run = run_config(compose_usual(["data=wikipedia", f"root={tmp_path}"]))
    assert finished(run) is None
    folder = tmp_path / "runs" / run.name
    folder.mkdir(parents=True)
    run.files.weights.write_bytes(b"weights")
    content = {"fingerprint": fingerprint(run), WEIGHTS_DIGEST: digest_of(run.files.weights), "val": {}}
    (folder / "train.json").write_text(json.dumps(content))
    assert finished(run) == content
    run.optimizer.betas = [0.9, 0.99]
    assert finished(run) is None


def test_a_run_is_not_finished_once_its_data_was_prepared_anew(tmp_path: Path) -> None:
    run = run_config(compose_usual(["data=wikipedia", f"root={tmp_path}"]))
    result = tmp_path / "runs" / run.name / "train.json"
    meta = tmp_path / "processed" / "wikipedia" / "meta.json"
    for path in (meta, result):
        path.parent.mkdir(parents=True)
    meta.write_text("{}")
    run.files.weights.write_bytes(b"weights")
    result.write_text(json.dumps({"fingerprint": fingerprint(run), WEIGHTS_DIGEST: digest_of(run.files.weights)}))
    os.utime(meta, (1000, 1000))
    assert finished(run)
    os.utime(result, (999, 999))
    assert finished(run) is None


def test_where_the_data_came_from_makes_no_other_run() -> None:
    run = run_config(compose_usual(["data=photos", "model.attention=[full]"]))
    before = fingerprint(run)
    run.data.files, run.data.mirror, run.model.n_hashes = [], "https://a.mirror", 7
    assert fingerprint(run) == before
    run.data.flip = True
    assert fingerprint(run) != before
