"""Whatever W&B, its variables, its server or its disk do: the run goes on, its record is whole, and a line says so."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from project import PROJECT
from tiny import tiny_run
from wandb_server import StandIn, stand_in

from reformer.runs.config import LoggerConfig
from reformer.tracking import wandb_run
from reformer.tracking.journal import NAME, Journal
from reformer.tracking.wandb_run import open_run
from reformer.training.lit_module import LitLanguageModel
from reformer.training.train import train

pytestmark = pytest.mark.usefixtures("own_folder")

RUBBISH = "//rubbish:"
IRREGULAR = {
    "app_url_override": "WANDB_APP_URL",
    "root_dir": "WANDB_DIR",
    "run_name": "WANDB_NAME",
    "run_notes": "WANDB_NOTES",
    "run_tags": "WANDB_TAGS",
    "run_job_type": "WANDB_JOB_TYPE",
    "x_service_transport": "WANDB_SERVICE_TRANSPORT",
    "x_graphql_timeout_seconds": "WANDB_HTTP_TIMEOUT",
    "x_file_transfer_timeout_seconds": "WANDB_FILE_PUSHER_TIMEOUT",
}


@pytest.fixture
def new_session() -> Iterator[None]:
    """W&B reads its variables once for each session."""
    wandb.teardown()
    yield
    wandb.teardown()


def logged(**settings: Any) -> None:
    """Logs one number."""
    with open_run(LoggerConfig(**settings), "name", "group", "train", {"a": 1}) as run:
        run.log({"x": 1})


def inspected(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", folder]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def about(folder: Path) -> dict[str, Any]:
    return next(record["run"] for record in inspected(folder) if record["type"] == "run")


def variable(field: str) -> str:
    """The variable of a setting of W&B."""
    return IRREGULAR.get(field) or ("WANDB__" + field[2:] if field.startswith("x_") else f"WANDB_{field}").upper()


# Variables


@pytest.mark.usefixtures("new_session")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANDB_MODE", ""),
        ("WANDB_MODE", "foo"),
        ("WANDB_MODE", "Offline"),
        ("WANDB_PROJECT", "a/b:c"),
        ("WANDB_RUN_ID", "a/b"),
        ("WANDB_BASE_URL", "nonsense"),
        ("WANDB_SILENT", "maybe"),
        ("WANDB_CONSOLE", "foo"),
        ("WANDB_RESUME", "foo"),
        ("WANDB_HTTP_TIMEOUT", "foo"),
        ("WANDB_SERVICE", "foo"),
        ("WANDB_API_KEY", "short"),
        ("WANDB__FILES_DIR", "/proc/none"),
    ],
)
def test_no_value_of_a_variable_costs_a_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    logged()
    assert len(list(Path("wandb").glob("offline-run-*/*.wandb"))) == 1
    out, err = capfd.readouterr()
    fine = value.lower() in ("", "offline")
    assert [name.removeprefix("WANDB_") in line or value in line for line in out.splitlines()[:-1]] == [True] * (
        not fine
    )
    assert out.splitlines()[-1].startswith("wandb: offline -> ")
    assert err == ""


@pytest.mark.usefixtures("new_session")
def test_all_variables_that_wandb_knows_set_to_rubbish_cost_no_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for field in wandb.Settings.model_fields:
        monkeypatch.setenv(variable(field), RUBBISH)
    logged()
    assert "unusable values of WANDB_ALLOW" in capfd.readouterr().out


@pytest.mark.usefixtures("new_session")
@pytest.mark.parametrize("field", ["mode", "base_url", "run_tags", "x_sync_dir_suffix", "x_executable"])
def test_one_variable_that_is_rubbish_costs_no_run(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setenv(variable(field), RUBBISH)
    logged(mode="offline")


@pytest.mark.usefixtures("new_session")
def test_variables_that_people_set_win_over_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"PROJECT": "p", "ENTITY": "e", "NAME": "n", "RUN_GROUP": "g", "TAGS": "a, b"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    logged(mode="offline", project="other", group="other", tags=["mine"])
    assert not Path("wandb").exists()
    (folder,) = Path("elsewhere/wandb").glob("offline-run-*")
    run = about(folder)
    assert [run[key] for key in ("project", "entity", "display_name", "run_group", "tags")] == [
        *("p", "e", "n", "g"),
        ["mine", "a", "b"],
    ]


def test_a_project_and_a_tag_that_wandb_refuses_are_made_to_fit(capfd: pytest.CaptureFixture[str]) -> None:
    logged(mode="offline", project="a/b", tags=["t" * 100, "t" * 101])
    (folder,) = Path("wandb").glob("offline-run-*")
    assert (about(folder)["project"], about(folder)["tags"]) == ("a-b", ["t" * 64])
    assert capfd.readouterr().out.startswith(
        "wandb: logger.project='a/b' is no name of a project (without / \\ # ? % :): logged as a-b\n"
        "wandb: 2 of logger.tags cut to 64 characters\n"
    )


def test_a_logger_that_is_switched_off_makes_no_folder_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logged(mode="disabled")
    with wandb_run.lightning_logger(tiny_run("data")) as logger:
        assert logger is None
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_copy_that_dvc_removes_logs_to_the_project_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    logged(mode="offline")
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 1
    assert list(copy.iterdir()) == []


@pytest.mark.usefixtures("new_session")
def test_a_password_on_the_command_line_is_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["train.py", "data.mirror=https://user:hidden@host/x", "data.mirror=https://host/f?sig=hidden&b=hidden"]
    monkeypatch.setattr(sys, "argv", typed)
    logged(mode="offline")
    assert sys.argv == typed
    (folder,) = Path("wandb").glob("offline-run-*")
    (record,) = folder.glob("*.wandb")
    assert b"data.mirror=https://host/f?..." in record.read_bytes()
    assert not any(b"hidden" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


# Interruptions


def interrupted(step: int, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    """Trains, and is interrupted before the step."""
    original = LitLanguageModel.training_step

    def stop(self: LitLanguageModel, *arguments: Any) -> Any:
        if self.global_step == step:
            raise RuntimeError("interrupted")
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LitLanguageModel, "training_step", stop)
        with pytest.raises(RuntimeError, match="interrupted"):
            train(tiny_run(root, "offline"), "")


def curve(folder: Path) -> list[tuple[int, float, float]]:
    history = [record["history"]["item"] for record in inspected(folder) if record["type"] == "history"]
    return [
        (item["trainer/global_step"], item.get("train/loss", 0), item.get("val/bits_per_dim", 0)) for item in history
    ]


def test_a_training_that_was_interrupted_twice_is_one_run_with_the_whole_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(3, monkeypatch, "data")
    interrupted(4, monkeypatch, "data")
    train(tiny_run("data", "offline"), "")
    (whole,) = Path("wandb").glob("offline-run-*")
    _, _, run_id = whole.name.partition("-tiny-")
    superseded = [path.name.partition("-tiny-")[2] for path in Path("wandb").glob("superseded-*")]
    # W&B appends a number to the names of folders of the same second.
    assert {name.split("-")[0] for name in superseded} == {run_id.split("-")[0]}
    train(tiny_run("other", "offline"), "")
    (other,) = set(Path("wandb").glob("offline-run-*")) - {whole}
    assert curve(whole) == curve(other)
    assert not list(Path(".checkpoints").rglob(NAME))


def test_a_journal_that_is_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.begin("an id", "a folder")
    for step in range(4):
        first.note(step, {"train/loss": step / 2})
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-5] + b"\xff\xfe")
    again = Journal(tmp_path)
    assert (again.id, again.folder) == ("an id", "a folder")
    assert again.missing_before(9, {}) == [(step, {"train/loss": step / 2}) for step in range(3)]
    assert again.missing_before(9, {}) == []


def test_scores_are_logged_before_the_loss_of_the_same_number_and_not_twice(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.begin("a", "b")
    for step, name in ((1, "train/loss"), (2, "val/loss"), (2, "train/loss"), (3, "train/loss")):
        first.note(step, {name: 1.5})
    again = Journal(tmp_path)
    again.arrived = 1
    assert again.missing_before(2, {"train/loss": 1.5}) == [(2, {"val/loss": 1.5})]
    assert Journal(tmp_path)._earlier == [(1, {"train/loss": 1.5}), (2, {"val/loss": 1.5})]


def test_after_the_first_error_in_the_middle_of_a_training_nothing_more_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError("Connection lost")

    monkeypatch.setattr(wandb.Run, "log", fail)
    train(tiny_run("data", "offline"), "")
    assert capfd.readouterr().out.count("Connection lost") == 1


# Servers and disks

SCRIPT = """
import sys, time
from pathlib import Path
from reformer.runs.config import LoggerConfig
from reformer.tracking.wandb_run import lightning_logger, open_run
with open_run(LoggerConfig(dir=sys.argv[1]), "name", "group", "train", {}) as run:
    begun = time.monotonic()
    for i in range(5):
        run.log({"x": i})
    time.sleep(float(sys.argv[2]))
"""


def online(server: str, folder: str = "wandb", pause: float = 0.5) -> tuple[subprocess.CompletedProcess[str], float]:
    """Logs in a process of its own, and returns the seconds that it took."""
    environment = os.environ | {"WANDB_BASE_URL": server, "WANDB_API_KEY": "0" * 40, "PYTHONPATH": str(PROJECT / "src")}
    begin = time.monotonic()
    command = [sys.executable, "-c", SCRIPT, folder, str(pause)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    return done, time.monotonic() - begin - pause


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("first", ["UpsertBucket", "/file_stream", "CreateRunFiles", "/upload/wandb-summary.json"])
def test_a_server_that_hangs_costs_at_most_15_seconds_and_the_next_process_none(server: StandIn, first: str) -> None:
    _, usual = online(server.url, "first")
    server.silent_from = first
    done, seconds = online(server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert seconds - usual < 15
    assert 1 <= done.stdout.count("wandb: ") <= 2
    asked = len(server.asked)
    done, seconds = online(server.url)
    assert done.stdout.startswith(f"wandb: no answer from {server.url}, asked again from ")
    assert seconds < usual + 2
    assert len(server.asked) == asked


@pytest.mark.slow
def test_a_server_that_refuses_costs_at_most_15_seconds(server: StandIn) -> None:
    _, usual = online(server.url, "first")
    done, seconds = online("http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (0, "")
    assert seconds - usual < 15
    assert "this run is logged offline" in done.stdout


@pytest.mark.slow
def test_the_command_that_is_told_completes_the_upload(server: StandIn) -> None:
    server.silent_from = "/file_stream"
    done, _ = online(server.url)
    told = done.stdout.partition("`")[2].partition("`")[0]
    assert told.startswith("wandb sync --no-skip-online wandb/run-")
    with stand_in() as other:
        environment = os.environ | {"WANDB_BASE_URL": other.url, "WANDB_API_KEY": "0" * 40}
        command = [sys.executable, "-m", *shlex.split(told)]
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
        history = "".join(body for asked, body in zip(other.asked, other.bodies, strict=True) if "stream" in asked)
    assert all(f'\\"x\\":{i}' in history for i in range(5))


RESUMED = """
import sys
from pathlib import Path
from reformer.tracking.wandb_run import lightning_logger
from tiny import tiny_run
with lightning_logger(tiny_run("data", "auto"), beside=Path("checkpoints")) as logger:
    for step in range(int(sys.argv[1]), int(sys.argv[2])):
        logger.log_metrics({"train/loss": step / 2}, step)
"""


@pytest.mark.slow
def test_an_interrupted_run_goes_on_online_where_the_server_has_nothing_of_it(server: StandIn) -> None:
    paths = f"{PROJECT / 'src'}{os.pathsep}{PROJECT / 'tests'}"
    environment = os.environ | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "PYTHONPATH": paths}
    for steps in ("0", "5"), ("3", "7"):
        command = [sys.executable, "-c", RESUMED, *steps]
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
        sent = [json.loads(body)["files"] for body in server.bodies if "wandb-history.jsonl" in body]
        server.bodies.clear()
        counts = {
            "historyLineCount": 2,
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": "[]",
            "eventsTail": "[]",
        }
        has = {"summaryMetrics": json.dumps({"trainer/global_step": 1, "_step": 1}), "wandbConfig": '{"t": 1}'}
        server.kept = {"id": "b", "name": "n", "displayName": "n", "config": "{}", "tags": [], **counts, **has}
    (history,) = (files["wandb-history.jsonl"] for files in sent)
    assert history["offset"] == 2
    assert [json.loads(line)["trainer/global_step"] for line in history["content"]] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("room", ["64k", "1200k"])
def test_a_full_disk_costs_lines_but_no_run(tmp_path: Path, room: str) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    script = SCRIPT.replace("range(5)", "range(900)").replace('{"x": i}', '{f"x{k}": 1.1 * i for k in range(40)}')
    try:
        command = [sys.executable, "-c", script, str(folder / "wandb"), "0"]
        environment = os.environ | {"WANDB_MODE": "offline", "PYTHONPATH": str(PROJECT / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "full" in done.stdout
    assert done.stdout.count("\n") <= 2
