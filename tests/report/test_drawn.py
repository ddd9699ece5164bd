"""The page shows the samples of the runs that have some."""

import base64
import io
import json
import re

import numpy as np
from fake_results import RUNS, write_results
from PIL import Image

from reformer.report.build import build_report

TEXT = {"given": list(b"a<b" * 60), "drawn": list(b"d & e"), "original": list(b"as it was")}
IMAGE = {"given": [9] * 36, "drawn": list(range(12)), "original": [200] * 12}


def put(root, run, kind, sample):
    content = {"name": run, "kind": kind, "split": "test", "temperature": 0.5, "samples": [sample]}
    (root / "runs" / run / "samples.json").write_text(json.dumps(content))


def page(root):
    build_report(root, "cpu", dict.fromkeys(RUNS, (1,)))
    return (root / "report" / "index.html").read_text()


def test_texts_stand_there_as_they_are_and_images_as_pictures(tmp_path):
    root = write_results(tmp_path)
    put(root, "wikipedia_lsh-2_reversible_seed-1", "text", TEXT)
    put(root, "photos_lsh-1_reversible_seed-1", "images", IMAGE)
    html = page(root)
    section = html[html.index('<section id="samples">') : html.index("</main>")]
    shown = (
        "a&lt;ba&lt;b<mark>d &amp; e</mark>",
        "as it was",
        "5 tokens after 180 of the test split, at temperature 0.5.",
    )
    assert all(part in section for part in shown)
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall('png;base64,([^"]+)', section)
    ]
    assert [picture.shape for picture in pictures] == [(4, 4, 3)] * 3
    assert pictures[1][3].flatten().tolist() == IMAGE["drawn"]


def test_without_samples_or_with_a_broken_file_there_is_no_such_section(tmp_path):
    root = write_results(tmp_path)
    assert "samples" not in page(root)
    (root / "runs" / "photos_lsh-1_reversible_seed-1" / "samples.json").write_text("{")
    assert "samples" not in page(root)
