import json
import re
from itertools import combinations

import pytest
from browser import browser_page, chromium
from fake_results import ALL_RUNS, RUNS, SAMPLES, files_of, listed, results, write_results, write_run, write_speed

from reformer.files import Root
from reformer.report.build import build_report
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.display.views import view_of
from reformer.report.evidence.results import Results
from reformer.studies import STUDIES

SHOWN = {"duplication", "reversible_text", "hash_rounds", "speed_by_length", "memory", "lsh_off"}
"""What the profile cpu has results for."""
TESTED = [study for study in STUDIES if study.id != "full_size"]
"""The studies of which something can be run here."""
A4_WITHIN_MARGINS = 718
"""Pixels of CSS: 190 mm."""


def build(root, runs=RUNS, seeds=(1, 2)):
    build_report(Results(Root(root), "cpu", listed(runs, seeds)), [f"{name}_seed-{seeds[0]}" for name in SAMPLES])
    return root / "report"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return build(write_results(tmp_path_factory.mktemp("results"), seeds=(1, 2)))


@pytest.fixture(scope="module")
def whole_report(tmp_path_factory):
    return build(write_results(tmp_path_factory.mktemp("all"), ALL_RUNS), ALL_RUNS, seeds=(1,))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_any_results_every_claim_is_untested_and_the_page_still_stands(tmp_path):
    folder = build(tmp_path)
    claims = json.loads((folder / "claims.json").read_text())
    assert claims["counts"] == {"reproduced": 0, "not reproduced": 0, "undecided": 0, "needs more": len(CLAIMS)}
    assert all(claim["basis"] for claim in claims["claims"])
    assert "is missing" in (folder / "index.html").read_text()


def test_runs_without_their_curves_environment_or_evaluation_do_not_stop_the_report(tmp_path):
    root = write_results(tmp_path, seeds=(1, 2))
    for name, file in zip(RUNS, ("curve", "environment", "evaluation", "train") * 3, strict=False):
        getattr(files_of(root, f"{name}_seed-1"), file).unlink()
    assert (build(root) / "index.html").is_file()


def test_a_run_that_diverged_or_took_one_step_only_does_not_stop_the_report(tmp_path):
    root = write_results(tmp_path, seeds=(1,))
    for name in RUNS:
        path = files_of(root, f"{name}_seed-1").curve
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    write_run(root, "wikipedia_lsh-2_reversible", 1, bits=float("nan"))
    write_speed(root, {"full": {512: 1.0}, "lsh-2": {512: 1.0}}, lambda kind, length: 0)
    claims = json.loads((build(root, seeds=(1,)) / "claims.json").read_text())["claims"]
    assert {claim["id"]: claim["verdict"] for claim in claims}["reversible_text"] == "needs more"


def test_the_same_results_give_the_same_bytes(report, tmp_path):
    again = build(write_results(tmp_path, seeds=(1, 2)))
    assert files(again) == files(report)


def test_there_is_a_picture_for_each_study_with_results(report):
    assert {path.stem for path in (report / "figures").iterdir()} == SHOWN


def test_a_picture_of_an_earlier_report_does_not_stay(tmp_path):
    old = tmp_path / "report" / "figures" / "old.png"
    old.parent.mkdir(parents=True)
    old.touch()
    build(tmp_path)
    assert not old.exists()


def test_every_study_is_drawn_where_its_runs_are_there(tmp_path):
    folder = build(write_results(tmp_path, ALL_RUNS), ALL_RUNS, seeds=(1,))
    assert {path.stem for path in (folder / "figures").iterdir()} == {study.id for study in TESTED}


def test_every_axis_has_a_label_and_every_line_a_name(tmp_path):
    found = results(write_results(tmp_path, ALL_RUNS), ALL_RUNS)
    for study in TESTED:
        measured = found.benchmark(study.benchmark) if study.benchmark else found.select(study.runs)
        for panel in view_of(study).panels(measured):
            assert panel.x.label, study.id
            assert panel.y.label, study.id
            assert panel.series, study.id
            assert all(series.name and series.points for series in panel.series), study.id
            inside = [point for series in panel.series for point in series.points]
            assert all(panel.y.low <= low and high <= panel.y.high for _, _, low, high in inside), study.id
            assert all(panel.x.low <= x <= panel.x.high for x, _, _, _ in inside), study.id


def test_the_metrics_are_few_and_have_no_missing_numbers(report):
    metrics = json.loads((report / "metrics.json").read_text())
    assert 5 <= len(metrics) <= 10
    assert all(isinstance(value, float) for name, value in metrics.items() if name != "claims")


def test_the_headlines_are_decided_claims_with_verdicts(whole_report):
    headlines = json.loads((whole_report / "claims.json").read_text())["headlines"]
    assert len(headlines) >= 3
    assert all("reproduced; paper: " in line for line in headlines)
    verdicts = (whole_report / "verdicts.md").read_text()
    assert all(f"- {line.partition(': ')[0]}: " in verdicts for line in headlines)


def test_the_page_carries_everything_inside(report):
    page = (report / "index.html").read_text()
    addresses = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)""", page)
    assert {address for address in addresses if not address.startswith("data:")} == {"https://arxiv.org/abs/2001.04451"}
    assert "<script" not in page
    assert not [address for address in re.findall(r"url\(([^)]*)\)", page) if not address.startswith("#")]


def test_figures_inside_the_page_share_no_ids_and_have_the_colours_of_the_page_alone(whole_report):
    page = (whole_report / "index.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)
    assert not re.findall(r"(?:fill|stroke): (?!var|none)\S+", page)


def test_what_a_run_says_cannot_break_the_page(tmp_path):
    root = write_results(tmp_path, seeds=(1,))
    path = files_of(root, f"{RUNS[0]}_seed-1").environment
    path.write_text(path.read_text().replace("AMD EPYC", "</code><script>alert(1)</script>"))
    assert "<script>alert" not in (build(root, seeds=(1,)) / "index.html").read_text()


@pytest.fixture(scope="module")
def page():
    if chromium() is None:
        pytest.skip("no Chromium here")
    with browser_page() as page:
        yield page


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_loads_quietly_and_fits_its_window(report, page, width, dark):
    page.open(report / "index.html", width, dark)
    assert page.problems == []
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask("document.querySelectorAll('figure').length") == len(SHOWN)
    panels = "[...document.querySelectorAll('.panel')].map(panel => panel.querySelectorAll('svg path').length)"
    assert min(page.ask(panels)) >= 2
    images = "[...document.querySelectorAll('img')].every(image => image.complete && image.naturalWidth > 0)"
    assert page.ask(images)


TEXTS = """[...document.querySelectorAll('.panel svg')].map(svg => {
    const box = element => element.getBoundingClientRect().toJSON();
    const scale = element => Math.hypot(element.getScreenCTM().a, element.getScreenCTM().b);
    const texts = [...svg.querySelectorAll('text')];
    return {
        svg: box(svg), texts: texts.map(box), words: texts.map(text => text.textContent),
        pixels: texts.map(text => parseFloat(getComputedStyle(text).fontSize) * scale(text)),
    };
})"""
"""The places and sizes of all letters of figures."""


def apart(a, b):
    """Whether two boxes have no common point, but for the space above and below letters."""
    beside = a["right"] < b["left"] or b["right"] < a["left"]
    return beside or a["bottom"] <= b["top"] + 4 or b["bottom"] <= a["top"] + 4


@pytest.mark.parametrize("width", [390, 760, 1280, A4_WITHIN_MARGINS])
def test_the_letters_of_figures_are_large_enough_and_apart(whole_report, page, width):
    (page.open_as_printed if width == A4_WITHIN_MARGINS else page.open)(whole_report / "index.html", width)
    for panel in page.ask(TEXTS):
        assert min(panel["pixels"]) >= 11
        for box, word in zip(panel["texts"], panel["words"], strict=True):
            assert panel["svg"]["left"] - 1 <= box["left"] < box["right"] <= panel["svg"]["right"] + 1, word
            assert panel["svg"]["top"] - 1 <= box["top"] < box["bottom"] <= panel["svg"]["bottom"] + 1, word
        for (one, a), (two, b) in combinations(zip(panel["words"], panel["texts"], strict=True), 2):
            assert apart(a, b), (one, two)


def test_long_reasons_for_missing_numbers_fit_a_phone(tmp_path, page):
    page.open(build(tmp_path) / "index.html", 390)
    assert page.problems == []
    assert page.ask("document.documentElement.scrollWidth") <= 390


def test_on_paper_nothing_is_cut_off_and_all_figures_are_there(report, page):
    width = A4_WITHIN_MARGINS
    page.open_as_printed(report / "index.html", width)
    beyond = (
        f"[...document.querySelectorAll('main *')].filter(part => part.getBoundingClientRect().right > {width} + 1)"
    )
    assert page.ask(f"{beyond}.map(part => part.outerHTML.slice(0, 90))") == []
    hidden = "[...document.querySelectorAll('.box, blockquote, .panel')].filter(box => box.scrollWidth > box.clientWidth + 1)"
    assert page.ask(f"{hidden}.map(box => box.innerText.slice(0, 200))") == []
    heights = "[...document.querySelectorAll('.panel svg')].map(picture => picture.getBoundingClientRect().height)"
    assert min(page.ask(heights)) > 50
    assert len(page.ask(heights)) > len(SHOWN)


def test_the_print_has_every_study_and_nothing_folded(whole_report, page):
    parts = "[...document.querySelectorAll('details :is(table, blockquote)')]"
    folded = f"{parts}.filter(part => !part.checkVisibility()).length"
    page.open(whole_report / "index.html", 1280)
    assert page.ask(folded) > 0
    page.open_as_printed(whole_report / "index.html", A4_WITHIN_MARGINS)
    assert page.ask(folded) == 0
    outline = re.findall(rb"/Title \((.+)\)", page.pdf())
    headings = {heading.replace(b" ", b"").decode() for heading in outline}  # a broken line has lost its space
    assert headings >= {f"{study.title}{study.source}".replace(" ", "") for study in STUDIES}


def test_no_word_of_a_heading_or_of_a_short_cell_is_broken_on_paper(whole_report, page):
    page.open_as_printed(whole_report / "index.html", A4_WITHIN_MARGINS)
    broken = page.ask("""[...document.querySelectorAll('th[scope=col], .commands td:nth-child(n + 3)')].flatMap(cell => {
        const range = document.createRange();
        return [...cell.textContent.matchAll(/[^\\s]+/g)].filter(word => {
            range.setStart(cell.firstChild, word.index);
            range.setEnd(cell.firstChild, word.index + word[0].length);
            return new Set([...range.getClientRects()].map(box => box.top)).size > 1;
        }).map(word => word[0]);
    })""")
    assert broken == []
