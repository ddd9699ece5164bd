"""Every recipe of CONTRIBUTING.md, followed in a copy of the project with a dummy."""

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from project import PROJECT, Script

STEP = re.compile(
    r"(?:rite|In) `(?P<path>[^`]+)`(?:, (?P<how>before|instead of) `(?P<line>[^`]+)`)?[^`]*:\n\n```\w+\n(?P<text>.*?)```",
    re.S,
)
TINY = ["data.batch_size=2", "model.n_layers=1", "model.d_model=12", "model.d_ff=20", "trainer.max_steps=1"]


class Copy:
    """A copy of what the scripts need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("conf", "pipelines", "src"):
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("dvc.yaml", "params.yaml"):
            shutil.copy(PROJECT / name, folder)

    def follow(self, recipe: str) -> None:
        """Does each step of a recipe."""
        text = (PROJECT / "CONTRIBUTING.md").read_text()
        (section,) = re.findall(rf"\n### {recipe}\n(.*?)(?=\n### |\Z)", text, re.S)
        steps = list(STEP.finditer(section))
        assert len(steps) == section.count("```") / 2
        for step in steps:
            path = self.folder / step["path"]
            if step["how"]:
                self._edit(path, step["line"], step["text"], replaces=step["how"] == "instead of")
            else:
                assert not path.exists()
                path.write_text(step["text"])

    @staticmethod
    def _edit(path: Path, marked: str, text: str, replaces: bool) -> None:
        lines = path.read_text().splitlines(keepends=True)
        number = next(i for i, line in enumerate(lines) if line.startswith(marked))
        lines[number : number + replaces] = [text]
        path.write_text("".join(lines))

    def bring(self, data: str, **contents: bytes) -> None:
        """Puts the files of a data set where files brought by hand lie, and their sizes and digests into its settings."""
        path = self.folder / "conf" / "data" / f"{data}.yaml"
        settings = yaml.safe_load(path.read_text())
        raw = self.folder / "data" / "raw" / data
        raw.mkdir(parents=True)
        for file, content in zip(settings["files"], contents.values(), strict=True):
            (raw / file["name"]).write_bytes(content)
            file.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        path.write_text(yaml.safe_dump(settings, sort_keys=False))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def done(script: Script, copy: Copy, name: str, *arguments: str) -> str:
    """Output of a script that must succeed in the copy."""
    ended = script(name, *arguments, project=copy.folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def trained(script: Script, copy: Copy, *overrides: str) -> dict[str, object]:
    """The content of train.json of the one run that was trained."""
    done(script, copy, "train", *overrides, *TINY)
    (path,) = copy.folder.glob("data/runs/*/train.json")
    return {"name": path.parent.name, **json.loads(path.read_text())}


def claims(script: Script, copy: Copy) -> dict[str, str]:
    """What the report rests each claim on, by the claim's id."""
    done(script, copy, "report")
    return {
        claim["id"]: claim["basis"]
        for claim in json.loads((copy.folder / "data/report/claims.json").read_text())["claims"]
    }


def pngs(n_images: int) -> bytes:
    """A .tar file of random images."""
    rng, packed = np.random.default_rng(n_images), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(n_images):
            png = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(png, "png")
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(png.getvalue())
            archive.addfile(member, io.BytesIO(png.getvalue()))
    return packed.getvalue()


def test_a_data_set_of_text_takes_one_file_and_keeps_its_claims(copy: Copy, script: Script) -> None:
    copy.follow("A data set of text")
    copy.bring("mytext", text=bytes(np.random.default_rng(1).integers(97, 123, 60000, dtype=np.uint8)))
    for name in ("download", "prepare"):
        done(script, copy, name, "data=mytext")
    assert trained(script, copy, "data=mytext", "data.seq_len=32", "data.eval_tokens=64")["name"].startswith(
        "mytext_lsh-4"
    )
    done(script, copy, "compose")
    assert (copy.folder / "data/configs/train/text/mytext_local-lsh-2_reversible_seed-1.yaml").exists()
    assert claims(script, copy)["reversible_text"] == "simple/mytext.json is missing"


@pytest.mark.slow
def test_a_data_set_of_images_takes_one_file_and_keeps_its_claims(copy: Copy, script: Script) -> None:
    copy.follow("A data set of images")
    copy.bring("myimages", train=pngs(23), val=pngs(5))
    for name in ("download", "prepare"):
        done(script, copy, name, "data=myimages")
    assert trained(script, copy, "data=myimages", "data.eval_tokens=768", "model.positions=learned")["name"].startswith(
        "myimages_lsh-4"
    )
    done(script, copy, "compose")
    assert claims(script, copy)["against_transformer_images"] == "simple/myimages.json is missing"


@pytest.mark.slow
def test_a_study_of_any_setting_and_its_claim_take_three_entries(copy: Copy, script: Script) -> None:
    copy.follow("A study of any setting")
    copy.follow("A claim")
    done(script, copy, "compose")
    assert (copy.folder / "data/configs/train/text/wikipedia_local-lsh-2_reversible_dropout-0.1_seed-1.yaml").exists()
    assert claims(script, copy)["dropout_helps"] == "no run of wikipedia_local-lsh-2_reversible has been trained"
    assert "Networks with and without dropout" in (copy.folder / "data/report/index.html").read_text()


@pytest.mark.slow
def test_a_study_has_seeds_of_its_own(copy: Copy, script: Script, environment: dict[str, str]) -> None:
    copy.follow("A study of any setting")
    shutil.copy(PROJECT / "conf" / "profile" / "cpu.yaml", copy.folder / "conf" / "profile")
    copy.follow("A study with seeds of its own")
    done(script, copy, "compose")
    runs = copy.folder / "data" / "configs" / "train" / "text_dropout"
    for seed in (1, 2, 3):
        assert (runs / f"wikipedia_lsh-2_reversible_dropout-0.1_seed-{seed}.yaml").exists()
    stages = yaml.safe_load((copy.folder / "dvc.yaml").read_text())["stages"]
    for stage in ("train", "evaluate"):
        (of_list, of_text) = (yaml.safe_dump(stages[f"{stage}_{part}"]["deps"]) for part in ("text_dropout", "text"))
        assert of_list == re.sub(r"/text\b", "/text_dropout", of_text)
        assert {f"data/{out}/text_dropout" for out in ("runs", "evaluations")} <= {*stages["report"]["deps"]}
    copy.follow("A claim")
    assert claims(script, copy)["dropout_helps"] == "no run of wikipedia_lsh-2_reversible has been trained"


@pytest.mark.slow
def test_a_kind_of_attention_takes_one_entry(copy: Copy, script: Script) -> None:
    copy.follow("A kind of attention")
    run = trained(
        script, copy, "data=duplication", "model.attention=[mean]", "data.seq_len=16", "data.eval_sequences=3"
    )
    assert str(run["name"]).startswith("duplication_mean_reversible")
    profile = copy.folder / "conf" / "profile" / "cpu.yaml"
    profile.write_text(
        profile.read_text().replace("    - full_reversible\n", "    - full_reversible\n    - mean_reversible\n", 1)
    )
    done(script, copy, "compose")
    assert (copy.folder / "data/configs/train/duplication/duplication_mean_reversible_seed-1.yaml").exists()


LAUNCHER = """
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore

class Launcher(BasicLauncher):
    def __init__(self, n_jobs):
        super().__init__()
        print("jobs at a time:", n_jobs)

ConfigStore.instance().store("joblib", {"_target_": "hydra_plugins.dummy.Launcher", "n_jobs": 1}, group="hydra/launcher")
"""
"""A plugin that has the name of the one in the recipe, which is an extra."""


@pytest.mark.slow
def test_a_launcher_takes_one_file(copy: Copy, script: Script) -> None:
    plugins = copy.folder / "pipelines" / "hydra_plugins"
    plugins.mkdir()
    (plugins / "dummy.py").write_text(LAUNCHER)
    copy.follow("A launcher")
    sizes = ["data=duplication", "data.seq_len=16", "data.eval_sequences=3", *TINY]
    printed = done(script, copy, "train", "--multirun", "hydra/launcher=mine", "seed=1,2", *sizes)
    assert "jobs at a time: 2" in printed
    assert len(list(copy.folder.glob("data/runs/*/train.json"))) == 2


def test_a_profile_without_sizes_is_told_by_the_file_to_write(copy: Copy, script: Script) -> None:
    (copy.folder / "conf/profile/cpu/text.yaml").unlink()
    ended = script("train", "data=wikipedia", project=copy.folder)
    assert ended.returncode == 1
    assert "profile cpu has no sizes for text: write conf/profile/cpu/text.yaml" in ended.stderr
