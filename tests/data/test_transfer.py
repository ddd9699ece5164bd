"""Every way in which the web fails, against a server on this machine that fails on demand."""

import hashlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reformer.data.config import SourceFile
from reformer.data.fetch import transfer
from reformer.data.fetch.web import Patience, Unavailable, fetch_from_web
from reformer.files import DataError

PROJECT = Path(__file__).parents[2]
QUICK = Patience(timeout=0.3, tries=3, backoff=0.001)


@pytest.fixture
def file(web) -> SourceFile:
    return SourceFile("a.zip", len(web.content), hashlib.sha256(web.content).hexdigest())


@pytest.fixture
def part(tmp_path) -> Path:
    return tmp_path / "a.zip.part"


def assert_whole(folder: Path, web) -> None:
    assert [path.name for path in folder.iterdir()] == ["a.zip"]
    assert (folder / "a.zip").read_bytes() == web.content


def test_a_file_is_fetched_by_one_request(web, file, tmp_path):
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.ranges == [None]


@pytest.mark.parametrize("trouble", ["truncate", "truncate without length", "stall"])
def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(web, file, tmp_path, capsys, trouble):
    web.behaviours = [trouble, trouble]
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    offsets = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in web.ranges[1:]]
    assert offsets == sorted(set(offsets))
    assert len(web.content) / 4 < offsets[0] <= len(web.content) / 2  # all but the last block is kept
    assert ("stalled at" if trouble == "stall" else "broke off") in capsys.readouterr().out


def test_what_an_earlier_run_kept_is_not_asked_for_again(web, file, tmp_path, part):
    part.write_bytes(web.content[:1234])
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.ranges == ["bytes=1234-"]


def test_a_whole_part_is_checked_and_named_without_a_request(web, file, tmp_path, part):
    part.write_bytes(web.content)
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.ranges == []


@pytest.mark.parametrize("kept", [b"<html>not a zip</html>", b"PK" + bytes(1000), bytes(1 << 20)])
def test_a_kept_part_of_another_file_is_dropped_and_the_file_fetched_anew(web, file, tmp_path, part, kept):
    part.write_bytes(kept)
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.ranges[-1] is None


@pytest.mark.parametrize("trouble", ["all anew", "other range", "416"])
def test_a_server_that_cannot_resume_sends_the_whole(web, file, tmp_path, part, trouble):
    part.write_bytes(web.content[:1234])
    web.behaviours = [trouble]
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)


@pytest.mark.parametrize("trouble", ["no total", "shorter range"])
def test_a_partial_answer_is_taken_in_every_legal_form(web, file, tmp_path, part, trouble):
    part.write_bytes(web.content[:1234])
    web.behaviours = [trouble]
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.ranges[0] == "bytes=1234-"
    assert None not in web.ranges


@pytest.mark.parametrize(
    "troubles",
    [
        *[[trouble] for trouble in ("web page", "web page in disguise", "other length", "no length", "404", "503")],
        *[[trouble] for trouble in ("truncate anew", "416")],
        ["416", "truncate anew"],
        ["other range", "web page in disguise"],
        ["other range", "truncate anew"],
    ],
    ids=", ".join,
)
def test_a_worse_mirror_does_not_cost_what_a_better_one_brought(web, file, tmp_path, part, troubles):
    part.write_bytes(web.content[:200_000])
    web.behaviours = [*troubles, *troubles[-1:] * 20]
    with pytest.raises(Unavailable):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    assert part.read_bytes() == web.content[:200_000]
    assert len(web.ranges) <= 2 + QUICK.tries
    web.behaviours = []
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.ranges[-1] == "bytes=200000-"


@pytest.mark.parametrize("trouble", ["corrupt", "corrupt anew", "endless", "endless anew"])
def test_a_part_that_proves_wrong_is_deleted_and_each_address_asked_for_the_whole_once(
    web, file, tmp_path, part, trouble
):
    part.write_bytes(web.content[:200_000])
    web.behaviours = [trouble] * 3
    with pytest.raises(Unavailable, match=r" sen.+; .+ sen"):
        fetch_from_web(file, [web.url + "/first", web.url + "/second"], tmp_path, QUICK)
    assert web.paths == ["/first", "/first", "/second"]
    assert web.ranges == ["bytes=200000-", None, None]
    assert list(tmp_path.iterdir()) == []
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)


def test_a_wrong_part_does_not_cost_the_good_address_behind_a_bad_one(web, file, tmp_path, part):
    part.write_bytes(web.content[:100] + bytes(200_000))
    web.behaviours = ["behave", "corrupt"]
    fetch_from_web(file, [web.url + "/first", web.url + "/second"], tmp_path, QUICK)
    assert web.paths == ["/first", "/first", "/second"]
    assert_whole(tmp_path, web)


def test_what_an_address_brought_stays_when_it_refuses_the_rest(web, file, tmp_path, part):
    web.behaviours = ["truncate", "403"]
    with pytest.raises(Unavailable):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert part.stat().st_size > len(web.content) / 4


def test_a_server_without_ranges_adds_to_the_part_what_it_lacks(web, file, tmp_path, part):
    part.write_bytes(web.content[:1234])
    web.behaviours = ["truncate anew", "503", "503", "503"]
    with pytest.raises(Unavailable):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    assert part.stat().st_size > 1234
    assert web.content.startswith(part.read_bytes())


def test_a_long_part_that_is_wrong_is_replaced_though_the_address_breaks_off(web, file, tmp_path, part, monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK", 1000)
    part.write_bytes(web.content[:100] + bytes(290_000))
    web.behaviours = ["behave", *["truncate"] * 5]
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert len(web.ranges) == 7


@pytest.mark.parametrize("status", ["408", "429", "500", "503"])
def test_a_busy_server_is_asked_again(web, file, tmp_path, status):
    web.behaviours = [status, status]
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)


REFUSALS = {
    "web page": "answers with a web page instead of the file",
    "web page in disguise": "sends something that is not a zip file",
    "other length": "offers 300,005 bytes instead of 300,004",
    "no length": "sends a Content-Length that is no number",
    "endless length": "sends a Content-Length that is no number",
    "doubled length": "sends a Content-Length that is no number",
    "nonsense address": "cannot be used",
    "another scheme": "cannot be used",
    "endless": "sends more than the 300,004 bytes of the file",
    "corrupt": "sent a file that has another sha256 than the published file",
    "404": r"has no such file \(404\)",
    "403": r"wants a log-in \(403\)",
    "401": r"wants a log-in \(401\)",
    "410": r"answers with an error \(410\)",
}


@pytest.mark.parametrize("trouble", REFUSALS)
def test_an_address_that_does_not_have_the_file_is_asked_once(web, file, tmp_path, trouble):
    web.behaviours = [trouble]
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:\d+ {REFUSALS[trouble]}"):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert len(web.ranges) == 1
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("trouble", REFUSALS)
def test_the_next_mirror_is_tried_and_nothing_wrong_is_kept(web, file, tmp_path, trouble):
    web.behaviours = [trouble]
    fetch_from_web(file, [web.url + "/first", web.url + "/second"], tmp_path, QUICK)
    assert_whole(tmp_path, web)


def test_a_server_that_brings_nothing_new_is_given_up_and_the_good_part_kept(web, file, tmp_path, part):
    web.behaviours = ["truncate"] + ["503"] * 9
    with pytest.raises(Unavailable, match=r"is busy \(503\)"):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert len(web.ranges) == 1 + QUICK.tries
    kept = part.read_bytes()
    assert len(kept) > len(web.content) / 4
    assert web.content.startswith(kept)


def test_as_long_as_something_arrives_a_transfer_is_never_given_up(web, file, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK", 1000)
    web.behaviours = ["truncate"] * 5
    fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert len(web.ranges) == 6


def test_a_server_that_always_begins_anew_and_breaks_off_is_given_up(web, file, tmp_path):
    web.behaviours = ["truncate anew"] * 9
    with pytest.raises(Unavailable, match="broke off"):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert len(web.ranges) == 1 + QUICK.tries


def test_a_server_that_accepts_and_never_answers_is_given_up(web, file, tmp_path):
    web.behaviours = ["silent"] * 9
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1:\d+ said nothing for 0\.3 s$"):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert len(web.ranges) == QUICK.tries
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_drips_is_given_up_and_the_next_one_tried(web, file, tmp_path, capsys):
    web.behaviours = ["drip"] * QUICK.tries
    fetch_from_web(file, [web.url + "/first", web.url + "/second"], tmp_path, QUICK)
    assert_whole(tmp_path, web)
    assert web.paths == ["/first"] * QUICK.tries + ["/second"]
    assert capsys.readouterr().out.count("sends less than 1.0 kB a second") == QUICK.tries


def test_a_server_that_sends_in_a_circle_is_given_up(web, file, tmp_path):
    web.behaviours = ["circle"] * 99
    with pytest.raises(Unavailable, match="cannot be used"):
        fetch_from_web(file, [web.url], tmp_path, QUICK)


def test_a_server_that_stalls_every_time_is_given_up_and_the_good_part_kept(web, file, tmp_path, part):
    web.behaviours = ["stall"] * 2 + ["stall at once"] * 20
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1:\d+ stalled$"):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert len(web.ranges) == 2 + QUICK.tries  # two brought something
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    assert part.stat().st_size == len(web.content) * 3 // 4
    assert web.content.startswith(part.read_bytes())


def test_the_wait_grows_only_while_nothing_arrives(web, file, tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    web.behaviours = ["truncate"] * 9 + ["503"] * 3
    fetch_from_web(file, [web.url], tmp_path, Patience(timeout=0.3, tries=4, backoff=0.25))
    assert waits == [0.25] * 9 + [0.25, 0.5, 1.0]
    assert_whole(tmp_path, web)


def test_no_network_is_said_in_one_line(file, tmp_path):
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1:9 cannot be reached \(no network\?\)$"):
        fetch_from_web(file, ["http://127.0.0.1:9/a.zip"], tmp_path, QUICK)
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_none_is_said_in_one_line(file, tmp_path):
    with pytest.raises(Unavailable, match="cannot be used"):
        fetch_from_web(file, ["http://"], tmp_path, QUICK)


def test_too_little_room_is_said_before_the_transfer(web, file, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "disk_usage", lambda _: type("Usage", (), {"free": 10_000}))
    with pytest.raises(
        DataError, match=r"is full \(300\.0 kB are needed, 10\.0 kB are free\): make room and run again"
    ):
        fetch_from_web(file, [web.url], tmp_path, QUICK)
    assert web.ranges == []


def test_a_disk_that_fills_up_is_said_and_the_good_part_kept(web, file, small_disk, monkeypatch):
    monkeypatch.setattr(transfer, "_require_space", lambda *_: None)  # another process takes the room meanwhile
    with pytest.raises(DataError, match="is full: make room and run again"):
        fetch_from_web(file, [web.url], small_disk, QUICK)
    (kept,) = small_disk.iterdir()
    assert kept.name == "a.zip.part"
    assert 0 < kept.stat().st_size <= 1 << 17
    assert web.content.startswith(kept.read_bytes())


def test_ctrl_c_says_what_is_kept_and_the_next_run_goes_on(web, file, tmp_path, environment):
    web.behaviours = ["stall"]
    source = f'{{name:a.zip,size:{file.size},sha256:"{file.sha256}",urls:["{web.url}"]}}'
    command = [sys.executable, "pipelines/download.py", "data=enwik8", f"data.files=[{source}]", f"root={tmp_path}"]
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "raw" / "enwik8" / "a.zip.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.fullmatch(r"interrupted: .+ kB of a\.zip are kept, run again to resume the download\n", told)
    kept = part.stat().st_size
    assert kept > 0
    fetch_from_web(file, [web.url], part.parent, QUICK)
    assert_whole(part.parent, web)
    assert web.ranges == [None, f"bytes={kept}-"]
