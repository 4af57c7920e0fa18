"""The repository's own rules: imports go one way, files agree, and what the README says can be run."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minisora"
CORE = (  # in reading order; a file may import what stands above it
    "config",
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
    "upsampler", "pipeline", "tasks",
)
WINGS = {  # room → the rooms it may import, beside the core
    "world": set(),
    "compare": set(),
    "show": {"world"},
    "measure": {"world", "show"},
    "train": {"world", "show", "measure"},
    "widgets": {"world", "show", "measure", "train", "compare"},
    "cli": {"world", "show", "measure", "train", "compare"},
}


def files(pattern="**/*"):
    done = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = (
        done.stdout.split("\n")
        if done.returncode == 0
        else [str(p.relative_to(ROOT)) for p in ROOT.glob(pattern)]
    )
    return [ROOT / n for n in names if n and (ROOT / n).is_file()]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minisora."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


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


def test_matplotlib_and_ipywidgets_have_one_door_each():
    for module, door in (("matplotlib", "plots.py"), ("ipywidgets", "widgets")):
        statement = re.compile(rf"^\s*(import|from) {module}", re.M)
        users = {
            p for p in PACKAGE.rglob("*.py") if statement.search(p.read_text(encoding="utf-8"))
        }
        assert users and all(door in p.parts for p in users)


def test_ruff():
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_environment_agrees_with_pyproject():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = {
        re.sub(r"^[\w-]+", lambda m: conda.get(m[0], m[0]), d)
        for d in project["dependencies"] + project["optional-dependencies"]["lab"]
    }
    given = {d for d in environment["dependencies"] if isinstance(d, str)} - {"pip"}
    assert given == wanted | {"python" + project["requires-python"]}


def test_top_level_holds_only_what_the_design_names():
    allowed = {
        "notebooks",
        "minisora",
        "data",
        "tests",
        "environment.yml",
        "README.md",
        "pyproject.toml",
        "LICENSE",
        "CHANGELOG.md",
        ".ci",
        ".gitignore",
    }
    assert {p.relative_to(ROOT).parts[0] for p in files("*")} <= allowed


def test_no_machine_path_and_no_registry_host():
    hosts = re.compile(
        r"(?<![\w/])/(root|home|work|tmp)/\w|pypi\."
        + r"org|python"
        + r"hosted|registry\.npm"
        + "js"
    )
    for path in files("*"):
        if (
            path.suffix in (".py", ".md", ".toml", ".yml", ".ipynb", ".json")
            and path.name != "test_repository.py"
        ):
            assert not hosts.search(path.read_text(encoding="utf-8")), path


def test_shipped_weights_are_small():
    assert sum(p.stat().st_size for p in files("data/*") if p.suffix == ".safetensors") < 40_000_000


def readme_commands():
    blocks = re.findall(
        r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    )
    return [
        line.strip()
        for block in blocks
        for line in block.splitlines()
        if "minisora " in line and not line.startswith("#")
    ]


def test_readme_commands_are_commands_of_ours():
    commands = readme_commands()
    assert len(commands) >= 5
    for command in commands:
        words = command.split("#")[0].split("minisora ", 1)[1]
        verb = words.split()[0]
        flags = re.findall(r"(--[a-z-]+)", re.sub(r'"[^"]*"', "", words))
        done = subprocess.run(
            [sys.executable, "-m", "minisora.cli", verb, "--help"],
            capture_output=True,
            text=True,
            env={"COLUMNS": "200", "PATH": "", "TERM": "dumb", "NO_COLOR": "1"},
        )
        assert done.returncode == 0, command
        for flag in flags:
            assert flag in done.stdout, (command, flag)


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
