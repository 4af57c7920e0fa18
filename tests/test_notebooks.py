"""Every notebook runs top to bottom and keeps the house rules."""

import re
import statistics
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_house_rules(path):
    raw = path.read_text(encoding="utf-8")
    nb = nbformat.reads(raw, as_version=4)
    nbformat.validate(nb)
    assert nb.nbformat == 4 and nb.nbformat_minor == 5 and nb.metadata.kernelspec.name == "python3"
    assert len(raw) <= 400_000, "at most 400 KB with outputs"
    assert all("state" in w for w in nb.metadata.get("widgets", {}).values())
    assert 30 <= len(nb.cells) <= 60
    code = [c for c in nb.cells if c.cell_type == "code"]
    text = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    lengths = [len(c.source.splitlines()) for c in code]
    assert statistics.median(lengths) <= 10 and max(lengths) <= 40
    assert 1000 <= len(text.split()) <= 2500
    levels = [len(m) for m in re.findall(r"^(#+) ", text, re.M)]
    assert (
        levels.count(1) == 1
        and levels[0] == 1
        and all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    )
    assert len({c.id for c in nb.cells}) == len(nb.cells)
    for cell in code:
        assert cell.execution_count is None and "execution" not in cell.metadata
        assert not re.search(r"^\s*[!%]|chdir", cell.source, re.M)
        assert not any(o.output_type == "error" for o in cell.outputs)
    images = re.findall(r"<img[^>]*>", "".join(str(o) for c in code for o in c.outputs))
    assert images, "outputs of a full run are kept"
    assert all("alt=" in i for i in images)


def test_every_notebook_has_solutions_and_gives_none_away():
    def functions(source):
        return [f"def {part}".strip() for part in re.split(r"^def ", source, flags=re.M)[1:]]

    assert [p.stem for p in SOLUTIONS] == [f"{p.stem}_solutions" for p in NOTEBOOKS]
    for path, solved in zip(NOTEBOOKS, SOLUTIONS, strict=True):
        text = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells)
        answers = [
            f
            for c in nbformat.read(solved, as_version=4).cells
            if c.cell_type == "code"
            for f in functions(c.source)
        ]
        assert answers, solved
        for answer in answers:
            body = answer.split("\n\n\n")[0]
            assert body not in text, f"{path.name} holds an answer:\n{body}"


@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda p: p.stem)
def test_runs_top_to_bottom(path, shipped, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("MINISORA_FAST", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(
        nbformat.read(path, as_version=4),
        timeout=300,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
