"""Generated files: their places, and that each is complete or not there."""

import os
import stat
from pathlib import Path

import pytest

from reformer.files import (
    DataError,
    MissingFile,
    Root,
    explained_if_full,
    read_json,
    write_json,
    write_text,
    written_whole,
)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, old, error):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), written_whole(path) as out:  # noqa: PT012
        out.write(b"new")
        raise error
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == ({} if old is None else {"file": old})


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path):
    write_text(tmp_path / "file", "old")
    with written_whole(tmp_path / "file") as out:
        out.write(b"new")
        assert (tmp_path / "file").read_bytes() == b"old"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"new")]


def test_what_another_name_shares_with_the_old_file_keeps_its_bytes(tmp_path):
    path, cached = tmp_path / "file", tmp_path / "cached"
    write_text(path, "old")
    cached.hardlink_to(path)
    cached.chmod(0o444)  # as DVC leaves files that it links
    write_text(path, "new")
    assert (path.read_text(), cached.read_text()) == ("new", "old")
    assert path.stat().st_ino != cached.stat().st_ino


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path):
    path, cached = tmp_path / "file", tmp_path / "cached"
    cached.write_text("old")
    path.symlink_to(cached)
    write_text(path, "new")
    assert not path.is_symlink()
    assert (path.read_text(), cached.read_text()) == ("new", "old")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_json(tmp_path / "new" / "file.json", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file.json").stat().st_mode) == mode


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    (tmp_path / "file.tmp").write_text("half of a much longer file")
    write_text(tmp_path / "file", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "new")]


def test_json_comes_back_as_it_was_written(tmp_path):
    content = {"name": "Größe", "scores": [1.5, None, True], "nested": {"a": 1}}
    write_json(tmp_path / "a" / "b.json", content)
    write_json(tmp_path / "line.json", content, indent=None)
    assert read_json(tmp_path / "a" / "b.json") == read_json(tmp_path / "line.json") == content
    assert "Größe" in (tmp_path / "a" / "b.json").read_text(encoding="utf-8")
    assert (tmp_path / "line.json").read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_never_contains_a_number_that_is_not_finite(tmp_path, value):
    """Such numbers are not JSON, and mean that there is no result."""
    path = tmp_path / "new" / "file.json"
    with pytest.raises(
        DataError, match=r"file\.json is not written, since it would contain a number that is not finite$"
    ):
        write_json(path, {"scores": [1.5, {"loss": value}]})
    assert not path.parent.exists()


def test_what_a_killed_process_left_shares_no_bytes_with_a_new_file(tmp_path):
    (tmp_path / "cached").write_text("old")
    (tmp_path / "file.tmp").hardlink_to(tmp_path / "cached")
    write_text(tmp_path / "file", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"cached": "old", "file": "new"}


def test_a_temporary_file_lies_beside_the_path_wherever_others_lie(tmp_path, monkeypatch):
    """So that it is renamed and never copied, as from a TMPDIR on another file system."""
    monkeypatch.setenv("TMPDIR", "/does-not-exist")
    with written_whole(tmp_path / "file") as out:
        assert [path.name for path in tmp_path.iterdir()] == [Path(out.name).name]
        out.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFile) as error:
        read_json(tmp_path / "none" / "file.json")
    assert str(error.value) == f"{tmp_path}/none/file.json is missing"


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[1, 2]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"a": 1}{'])
def test_a_file_that_holds_no_json_object_is_damaged(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_json(path)
    assert not isinstance(error.value, MissingFile)
    assert str(error.value) == f"{path} is damaged: remove it and make it again"


def test_a_full_disk_names_the_folder():
    with (
        pytest.raises(DataError, match=r"^the disk that holds /somewhere is full: make room and run again$"),
        explained_if_full(Path("/somewhere")),
    ):
        Path("/dev/full").write_bytes(b"0")


def test_every_generated_file_lies_below_the_root(tmp_path):
    root = Root(tmp_path)
    run = root.run("wikipedia_full_reversible_seed-1", "text")
    places = {
        root.raw("photos"): "raw/photos",
        root.processed("photos"): "processed/photos",
        root.configs: "configs",
        root.benchmark("memory"): "benchmarks/memory.json",
        root.report: "report",
        run.folder: "runs/text/wikipedia_full_reversible_seed-1",
        run.train: "runs/text/wikipedia_full_reversible_seed-1/train.json",
        run.weights: "runs/text/wikipedia_full_reversible_seed-1/weights.safetensors",
        run.evaluation: "evaluations/text/wikipedia_full_reversible_seed-1.json",
        run.samples: "samples/wikipedia_full_reversible_seed-1.json",
        root.run("alone").evaluation: "evaluations/alone.json",
    }
    for path, place in places.items():
        assert path == tmp_path / place
    run.folder.mkdir(parents=True)
    assert root.run("wikipedia_full_reversible_seed-1").folder == run.folder  # whichever list has it
