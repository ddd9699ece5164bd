"""The page shows the samples of the runs that have some."""

import base64
import io
import re

import numpy as np
from fake_results import RUNS, SAMPLES, listed, write_results
from PIL import Image

from reformer.files import Root
from reformer.report.build import build_report
from reformer.report.evidence.results import Results

SAMPLED = [f"{name}_seed-1" for name in SAMPLES]


def page(root, sampled=SAMPLED):
    build_report(Results(Root(root), "cpu", listed(RUNS)), sampled)
    return (root / "report" / "index.html").read_text()


def test_texts_stand_there_as_they_are_and_images_as_pictures(tmp_path):
    html = page(write_results(tmp_path))
    section = html[html.index('<section id="samples">') : html.index("</main>")]
    shown = (
        "a&lt;ba&lt;b<mark>d &amp; eno-space",
        "as it was",
        "325 tokens generated after 180 given tokens of the test split, at temperature 0.5.",
    )
    assert all(part in section for part in shown)
    files = [io.BytesIO(base64.b64decode(data)) for data in re.findall('png;base64,([^"]+)', section)]
    pictures = [np.asarray(Image.open(file)) for file in files]
    assert [picture.shape for picture in pictures] == [(4, 4, 3)] * 3
    assert pictures[1][3].flatten().tolist() == SAMPLES["emoji_lsh-1_reversible"][1]["drawn"]


def test_without_samples_or_with_a_broken_file_there_is_no_such_section(tmp_path):
    text, images = sorted(write_results(tmp_path).glob("samples/*.json"), reverse=True)
    text.unlink()
    images.write_text("{")
    assert "samples" not in page(tmp_path)


def test_samples_of_other_runs_are_not_shown(tmp_path):
    html = page(write_results(tmp_path), SAMPLED[:1])
    assert "325 tokens generated after 180" in html
    assert "12 tokens generated after 36" not in html
