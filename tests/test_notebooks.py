"""The notebooks run from top to bottom, and are stored as a reader should find them."""

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from project import PROJECT

from reformer.files import META, write_json

FOLDER = PROJECT / "notebooks"
PICTURES = {
    "01_lsh_attention": 10,
    "02_reversible_layers": 4,
    "03_chunking": 4,
    "04_duplication_task": 4,
    "05_results": 3,
}
REDUCED = {
    "01_lsh_attention": """
SETTINGS = ["data=wikipedia", "root={root}", "data.seq_len=96", "model.d_model=16", "model.d_ff=24", "model.d_head=8"]
N_STEPS, LENGTHS, COPYING_STEPS, SLOT, PASSAGE = 2, [64, 128, 256], 2, 29, 0
""",
    "02_reversible_layers": "DEPTHS, TIMED_DEPTHS, LENGTH, REPEATS = [2, 3, 4], [1, 2], 128, 2",
    "03_chunking": """
LENGTH, CHUNKS, MEASURED_LENGTHS, SMALL_LENGTHS = 256, [64, 128, 256], [512, 1024], [1024, 2048]
""",
    "04_duplication_task": """
SETTINGS, N_STEPS = [*networks.SMALL_DUPLICATION], 3
TRAINED_WITH, EVALUATED_WITH = ["lsh-2", "lsh-1"], ["full", "lsh-2", "off"]
""",
    "05_results": """
ROOT, PAGE, LONGER = "{root}", "../docs/results-cpu.md", "../docs/results-cpu-long.md"
EXAMPLE, DEVIATION = "reversible_text", 0.0172
SETTINGS, N_STEPS = [*networks.SMALL_DUPLICATION, "data.batch_size=2", "data.eval_sequences=3"], 41
CHANGES = ["model.n_hashes=1", "model.n_hashes=2"]
""",
}
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_BYTES = 15, 5, 3_000_000
names = pytest.mark.parametrize("name", PICTURES)


def stored(name: str) -> list[Any]:
    """The cells of a notebook."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells


def is_picture(output: Any) -> bool:
    return "image/png" in output.get("data", {})


def pictures_of(cells: list[Any]) -> int:
    return sum(is_picture(output) for cell in cells for output in cell.get("outputs", []))


def code_of(name: str) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in stored(name) if cell.cell_type == "code"]


def test_every_notebook_is_tested():
    assert sorted(PICTURES) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@names
def test_it_is_stored_executed_with_all_pictures_and_no_error(name):
    cells = [cell for cell in stored(name) if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert pictures_of(cells) == PICTURES[name]
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_together_they_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.ipynb")) < MOST_BYTES


@names
def test_a_text_says_what_to_see_before_each_picture(name):
    cells, last = stored(name), -1
    for number, cell in enumerate(cells):
        if any(is_picture(output) for output in cell.get("outputs", [])):
            between = [text.source for text in cells[last + 1 : number] if text.cell_type == "markdown"]
            assert any("**What to see" in text for text in between), f"cell {number}"
            last = number


@names
def test_cells_are_short_and_define_no_algorithm(name):
    for source in code_of(name):
        assert len(source.splitlines()) <= MOST_LINES, source
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                assert body[-1].end_lineno - body[0].lineno < MOST_LINES_OF_A_FUNCTION, node.name
            assert not isinstance(node, ast.ClassDef)


@names
def test_it_names_no_path_of_a_machine(name):
    assert not re.search(r"/(home|root|tmp|Users)/", (FOLDER / f"{name}.ipynb").read_text())


def run_reduced(name: str, root: Path) -> None:
    """Executes a notebook with small parameters."""
    executed = runpy.run_path(str(FOLDER / "execute.py"))["execute"](
        FOLDER / f"{name}.ipynb", REDUCED[name].strip().replace("{root}", str(root))
    )
    assert pictures_of(executed.cells) == PICTURES[name]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a prepared text."""
    folder = tmp_path / "processed" / "wikipedia"
    folder.mkdir(parents=True)
    prose = b"Notebooks teach best if a reader may change every number in them and look again. " * 40
    splits = {}
    for split in ("train", "val", "test"):
        (folder / f"{split}.bin").write_bytes(prose)
        splits[split] = {"file": f"{split}.bin", "tokens": len(prose)}
    write_json(folder / META, {"name": "wikipedia", "kind": "text", "splits": splits})
    return tmp_path


def test_the_first_runs_in_a_clone_without_trained_networks(root):
    run_reduced("01_lsh_attention", root)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PICTURES)[1:])
def test_the_others_run(name, tmp_path):
    run_reduced(name, tmp_path)
