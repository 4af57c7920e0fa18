"""The repository's own rules: imports go one way, code is not dense, files agree."""

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minisora.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minisora"
CORE = (  # a file may import what stands before it
    "config",
    "inputs",
    "threads",
    "device",
    "checkpoints",
    "layers",
    "patchify",
    "vae",
    "text",
    "dit",
    "flow",
    "masks",
    "sampling",
    "upsampler",
    "pipeline",
    "tasks",
)
NOT_COUNTED = ("config", "inputs", "threads", "device", "checkpoints")  # not about Sora
WINGS = {  # room → the other rooms that it may import, beside the core
    "world": set(),
    "compare": set(),
    "play": {"world"},
    "show": {"world"},
    "measure": {"world", "show", "play"},
    "train": {"world", "show", "measure", "play"},
    "widgets": {"world", "show", "measure", "train", "compare", "play"},
    "cli": {"world", "show", "measure", "train", "compare", "play"},
}
MOST_CORE_TOKENS = 15_000  # DiT and minRF together
MOST_TOKENS_A_LINE = 11  # DiT and minRF have 8, nanochat 9
NOT_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
)


def files(pattern: str = "*") -> list[Path]:
    """What git tracks or would track; where there is no git, what lies there."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        names = done.stdout.split("\n")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob(pattern)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------- the code


def imports(path: Path):
    """The rooms and core files of ours that a file imports."""
    for node in ast.walk(ast.parse(read(path))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        if module.startswith("minisora."):
            yield module.split(".")[1]
        elif module == "minisora":
            yield from (alias.name for alias in node.names)


def test_imports_go_one_way():
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).parts
        if place == ("__init__.py",):
            continue
        if len(place) == 1:
            allowed = set(CORE[: CORE.index(path.stem)])
        else:
            allowed = set(CORE) | WINGS[place[0]] | {place[0]}
        wrong = set(imports(path)) & (set(CORE) | set(WINGS)) - allowed
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {wrong}"


@pytest.mark.parametrize(
    ("module", "door"), [("matplotlib", "plots.py"), ("ipywidgets", "widgets")]
)
def test_some_libraries_have_one_door(module, door):
    statement = re.compile(rf"^\s*(import|from) {module}", re.M)
    users = [p for p in PACKAGE.rglob("*.py") if statement.search(read(p))]
    assert users
    assert all(door in p.parts for p in users), users


def count_code(path: Path) -> tuple[int, int]:
    """Code tokens of a file, and the lines that hold any; comments and docstrings do not count."""
    text = read(path)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        node.body[0].lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented) and ast.get_docstring(node, clean=False)
    }
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NOT_CODE
        and not (token.type == tokenize.STRING and token.start[0] in docstrings)
    ]
    return len(tokens), len({token.start[0] for token in tokens})


def room_of(path: Path) -> str:
    """The folder of a file; core or root where it has none."""
    place = path.relative_to(PACKAGE).parts
    if len(place) > 1:
        return place[0]
    return "core" if path.stem in CORE and path.stem not in NOT_COUNTED else "root"


def test_code_is_not_dense():
    tokens: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        n, m = count_code(path)
        tokens[room_of(path)] += n
        lines[room_of(path)] += m
    for room, n in tokens.most_common():
        print(f"{room:<8} {n:>6} code tokens, {n / max(lines[room], 1):.1f} a line")
    assert tokens["core"] <= MOST_CORE_TOKENS
    assert tokens.total() / lines.total() <= MOST_TOKENS_A_LINE


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        pytest.param(("mypy", "minisora"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_linters_and_types(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


# --------------------------------------------------------------------------------------- the files


def test_environment_agrees_with_pyproject():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    environment = yaml.safe_load(read(ROOT / "environment.yml"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = {
        re.sub(r"^[\w-]+", lambda m: conda.get(m[0], m[0]), dependency)
        for dependency in project["dependencies"] + project["optional-dependencies"]["lab"]
    }
    named = {d for d in environment["dependencies"] if isinstance(d, str)} - {"pip"}
    assert named == wanted | {"python" + project["requires-python"]}


def test_top_level_holds_only_what_the_design_names():
    design = {"notebooks", "minisora", "data", "tests", "environment.yml", "README.md"}
    tools = {
        ".binder",
        ".ci",
        ".github",
        ".gitignore",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "pyproject.toml",
    }
    assert {p.relative_to(ROOT).parts[0] for p in files()} <= design | tools


def test_what_the_commands_of_readme_write_is_ignored_by_git():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = re.findall(r"(?:--out |--json |save\(\")([\w./]+\w)", readme)
    assert {"clip.png", "runs/mine", "results.json"} <= set(written)
    new = [name for name in written if not (ROOT / name).exists()]
    done = subprocess.run(
        ["git", "check-ignore", *new], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "not a git repository" in done.stderr:
        pytest.skip("there is no git")
    assert set(new) <= set(done.stdout.split())


def test_no_machine_path_and_no_registry_host():
    path_of_a_machine = r"(?<![\w/])/(root|home|work|tmp)/\w"
    hosts = "|".join(["pypi" + r"\.org", "python" + "hosted", r"registry\.npm" + "js"])
    forbidden = re.compile(f"{path_of_a_machine}|{hosts}")
    for path in files():
        if path.suffix not in (".py", ".md", ".toml", ".yml", ".ipynb", ".json", ".cff"):
            continue
        if path.name != Path(__file__).name:
            assert not forbidden.search(read(path)), path


def test_shipped_weights_are_small():
    weights = [p for p in files("data/*") if p.suffix == ".safetensors"]
    assert weights
    assert sum(p.stat().st_size for p in weights) < 60_000_000


def test_results_are_of_the_shipped_model():
    """Every stored figure names the model that it was measured on."""
    for path in files("data/results/*.json"):
        settings = json.loads(read(path)).get("settings", {})
        if "model" in settings:
            assert (ROOT / "data" / "checkpoints" / settings["model"]).is_dir(), path


# -------------------------------------------------------------------------------------- the README


def readme_commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", read(ROOT / "README.md"), re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if "minisora " in line and not line.startswith("#")]


def test_the_readme_is_two_screens():
    assert len(read(ROOT / "README.md").splitlines()) <= 140


def test_readme_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#\s]+)\)|src=\"([^\"]+)\"", read(ROOT / "README.md")):
        target = target[0] or target[1]
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_readme_commands_are_commands_of_ours(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    commands = readme_commands()
    assert len(commands) >= 5
    for command in commands:
        words = command.split("#")[0].split("minisora ", 1)[1]
        verb = words.split()[0]
        flags = re.findall(r"(--[a-z-]+)", re.sub(r'"[^"]*"', "", words))
        done = CliRunner().invoke(app, [verb, "--help"])
        assert done.exit_code == 0, command
        for flag in flags:
            assert flag in done.output, (command, flag)


@pytest.mark.slow
def test_the_readmes_first_command_makes_its_clip(tmp_path, shipped):
    command = next(c for c in readme_commands() if "generate" in c)
    words = shlex.split(command.split("minisora ", 1)[1])
    done = subprocess.run(
        [sys.executable, "-m", "minisora.cli", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / words[words.index("--out") + 1]).is_file()
    assert ": as asked" in done.stdout, done.stdout
