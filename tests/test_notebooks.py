"""Every notebook runs top to bottom and keeps the house rules."""

import copy
import re
import statistics
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
GLOSSARY = ROOT / "notebooks" / "glossary.md"
MOST_BYTES = 400_000  # with outputs
MOST_COLUMNS = 100  # a projector cuts the rest

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def cells_of(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == kind]


def text_of(path: Path) -> str:
    return "\n".join(cell.source for cell in cells_of(path, "markdown"))


@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda path: path.stem)
def test_a_notebook_is_a_clean_file(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all("state" in widgets for widgets in notebook.metadata.get("widgets", {}).values())
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in cells_of(path, "code"):
        assert cell.execution_count is None
        assert "execution" not in cell.metadata
        assert not any(output.output_type == "error" for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda path: path.stem)
def test_code_runs_anywhere_and_fits_a_projector(path):
    for cell in cells_of(path, "code"):
        assert not re.search(r"^\s*[!%]|chdir", cell.source, re.M)
        for line in cell.source.splitlines():
            assert len(line) <= MOST_COLUMNS, line


def lines_to_read(source: str) -> int:
    """Lines of a cell, empty ones and imports left out."""
    return len(re.findall(r"^(?!import |from )\s*\S.*$", source, re.M))


@each
def test_size_of_a_notebook(path):
    assert len(path.read_text(encoding="utf-8")) <= MOST_BYTES
    assert 30 <= len(read(path).cells) <= 60
    assert 1000 <= len(text_of(path).split()) <= 2500
    sources = [cell.source for cell in cells_of(path, "code")]
    assert statistics.median(map(lines_to_read, sources)) <= 10
    assert max(len(source.splitlines()) for source in sources) <= 40


@each
def test_headings_are_in_order(path):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text_of(path), re.M)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    for above, below in zip(levels, levels[1:], strict=False):
        assert below <= above + 1


@each
def test_outputs_of_a_full_run_are_kept_and_have_words(path):
    outputs = [output for cell in cells_of(path, "code") for output in cell.outputs]
    images = re.findall(r"<img[^>]*>", "".join(map(str, outputs)))
    assert images
    assert all("alt=" in image for image in images)


@each
def test_links_to_the_glossary_lead_somewhere(path):
    links = re.findall(r"\(glossary\.md(?:#([^)]*))?\)", text_of(path))
    assert links, "a word of the field is linked to the glossary where it is first met"
    anchors = set(re.findall(r'<a id="([^"]+)"', GLOSSARY.read_text(encoding="utf-8")))
    assert {link for link in links if link} <= anchors


@each
def test_every_prediction_is_followed_by_words(path):
    """`Predict first` is answered after the code that shows it, never by the code alone."""
    cells = read(path).cells
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "**Predict first:**" in cell.source:
            after = [later.cell_type for later in cells[i + 1 : i + 5]]
            assert "markdown" in after, cell.source[-100:]


@each
def test_every_notebook_names_its_solutions(path):
    assert f"solutions/{path.stem}_solutions.ipynb" in text_of(path)


def functions_of(source: str) -> list[str]:
    return [f"def {part}".strip() for part in re.split(r"^def ", source, flags=re.M)[1:]]


def test_every_notebook_has_solutions_and_gives_none_away():
    assert [path.stem for path in SOLUTIONS] == [f"{path.stem}_solutions" for path in NOTEBOOKS]
    for path, solved in zip(NOTEBOOKS, SOLUTIONS, strict=True):
        text = "\n".join(cell.source for cell in read(path).cells)
        sources = [cell.source for cell in cells_of(solved, "code")]
        answers = [answer for source in sources for answer in functions_of(source)]
        assert answers, solved
        for answer in answers:
            body = answer.split("\n\n\n")[0]
            assert body not in text, f"{path.name} holds an answer:\n{body}"


def test_every_checker_is_used_and_tested(checks):
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_notebook_*.py")
    )
    exercises = "\n".join(cell.source for path in NOTEBOOKS for cell in cells_of(path, "code"))
    for name in checks.__all__:
        assert f"checks.{name}" in tests, f"{name} has no test"
        assert f"checks.{name}" in exercises, f"{name} has no exercise"


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda path: path.stem)
def test_runs_top_to_bottom(path, shipped, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("MINISORA_FAST", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(copy.deepcopy(read(path)), timeout=300, resources=resources).execute()
