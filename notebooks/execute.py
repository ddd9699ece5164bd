"""Executes notebooks in place: all of this folder, or those that are named.

    python notebooks/execute.py 01_lsh_attention.ipynb

The same results give the same file: times of execution are not stored, and a cell with the tag `interactive`, whose sliders
need a running kernel, is stored without output.
"""

import os
import sys
from pathlib import Path
from time import perf_counter

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def execute(path: Path, parameters: str | None = None) -> nbformat.NotebookNode:
    """Runs all cells of a notebook in its folder and returns it with the new outputs.

    Args:
        path: the notebook.
        parameters: code that replaces the cell with the tag `parameters`.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if parameters is not None and "parameters" in cell.metadata.get("tags", []):
            cell.source = parameters
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # see pipelines/cli/command.py
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=600, record_timing=False, coalesce_streams=True, resources=resources).execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}  # without the version of this Python
    for cell in notebook.cells:
        if "interactive" in cell.metadata.get("tags", []):
            cell.outputs = []
    return notebook


if __name__ == "__main__":
    for path in [FOLDER / name for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        begin = perf_counter()
        nbformat.write(execute(path), path)
        print(f"{path.name}: {perf_counter() - begin:.0f} s, {path.stat().st_size / 1000:,.0f} kB")
