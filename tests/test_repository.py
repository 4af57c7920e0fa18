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
ABOVE = {  # module → what it may import
    "config": set(), "device": set(), "checkpoints": set(), "layers": {"config"}, "patchify": {"config"},
    "vae": {"config", "layers", "patchify"}, "text": {"config", "layers", "patchify"}, "dit": {"config", "layers", "patchify"},
    "diffusion": {"config", "patchify"}, "sampling": {"diffusion"}, "plane": {"diffusion", "layers"}, "objectives": {"diffusion", "plane"},
    "capabilities": {"patchify"}, "expander": {"config", "text"},
    "pipeline": {"capabilities", "expander", "config", "device", "checkpoints", "patchify", "vae", "text", "dit", "diffusion", "sampling"},
    "muon": {"device"}, "loop": {"config", "device", "checkpoints", "muon"},
    "training": {"config", "device", "expander", "loop", "patchify", "vae", "text", "dit", "diffusion"},
    "judge": {"world"}, "media": set(), "folder": {"media", "world"}, "viz": {"world"}, "world": {"world"}, "evaluation": {"world", "judge"},
    "recipe": {"config", "device", "checkpoints", "vae", "text", "dit", "pipeline", "loop", "training", "world", "judge", "evaluation", "viz", "folder"},
    "benchmark": {"config", "device", "dit", "text", "training", "world"},
    "faults": {"world", "judge", "evaluation"}, "plausibility": {"world", "judge", "evaluation", "faults", "diffusion"},
    "limits": {"world", "judge", "evaluation", "faults", "plausibility"},
    "verdicts": {"world", "judge", "evaluation", "faults", "plausibility", "limits", "media"},
    "widgets": {"config", "device", "patchify", "vae", "text", "dit", "diffusion", "sampling", "plane", "pipeline", "loop", "training", "judge", "viz", "world", "evaluation", "limits"},
}  # fmt: skip


def files(pattern="**/*"):
    done = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split("\n") if done.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.glob(pattern)]
    return [ROOT / n for n in names if n and (ROOT / n).is_file()]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minisora."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def test_imports_go_one_way():
    for path in PACKAGE.rglob("*.py"):
        name = next((folder for folder in ("world", "widgets") if folder in path.parts), path.stem)
        if name in ("__init__", "cli", "cli_clips"):
            continue
        ours = {p.stem for p in PACKAGE.glob("*.py")} | {"world", "widgets"}
        wrong = {i for i in imports(path) if i in ours} - ABOVE[name] - {name}
        assert not wrong, f"{path.name} imports {wrong}"


def test_matplotlib_and_ipywidgets_have_one_door_each():
    for module, door in (("matplotlib", "viz.py"), ("ipywidgets", "widgets")):
        users = {p for p in PACKAGE.rglob("*.py") if re.search(rf"^\s*(import|from) {module}", p.read_text(encoding="utf-8"), re.M)}
        assert users and all(door in p.parts for p in users)


def test_files_are_short():
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    beside = {"evaluation", "recipe", "benchmark", "viz", "plane", "objectives", "faults", "limits", "plausibility", "verdicts", "media", "folder", "cli", "cli_clips"}
    rooms = {"widgets": 0, "beside": 0, "model": 0}  # the course; figures, pictures and commands; an afternoon's reading
    for p, n in lines.items():
        rooms["widgets" if "widgets" in p.parts else "beside" if p.stem in beside else "model"] += n
    assert rooms["model"] <= 3480 and rooms["beside"] <= 2340 and rooms["widgets"] <= 1900, rooms
    assert {p.name: n for p, n in lines.items() if n > 300} == {}


def test_ruff():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_environment_agrees_with_pyproject():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = {re.sub(r"^[\w-]+", lambda m: conda.get(m[0], m[0]), d) for d in project["dependencies"] + project["optional-dependencies"]["lab"]}
    given = {d for d in environment["dependencies"] if isinstance(d, str)} - {"pip"}
    assert given == wanted | {"python" + project["requires-python"]}


def test_top_level_holds_only_what_the_design_names():
    allowed = {"notebooks", "minisora", "data", "tests", "environment.yml", "README.md", "pyproject.toml", "LICENSE", "CHANGELOG.md", ".ci", ".gitignore"}
    assert {p.relative_to(ROOT).parts[0] for p in files("*")} <= allowed


def test_no_machine_path_and_no_registry_host():
    hosts = re.compile(r"(?<![\w/])/(root|home|work|tmp)/\w|pypi\." + r"org|python" + r"hosted|registry\.npm" + "js")
    for path in files("*"):
        if path.suffix in (".py", ".md", ".toml", ".yml", ".ipynb", ".json") and path.name != "test_repository.py":
            assert not hosts.search(path.read_text(encoding="utf-8")), path


def test_shipped_weights_are_small():
    assert sum(p.stat().st_size for p in files("data/*") if p.suffix == ".safetensors") < 40_000_000


def readme_commands():
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    return [line.strip() for block in blocks for line in block.splitlines() if "minisora " in line and not line.startswith("#")]


def test_readme_commands_are_commands_of_ours():
    commands = readme_commands()
    assert len(commands) >= 5
    for command in commands:
        words = command.split("#")[0].split("minisora ", 1)[1]
        verb = words.split()[0]
        flags = re.findall(r"(--[a-z-]+)", re.sub(r'"[^"]*"', "", words))
        done = subprocess.run([sys.executable, "-m", "minisora.cli", verb, "--help"], capture_output=True, text=True, env={"COLUMNS": "200", "PATH": "", "TERM": "dumb", "NO_COLOR": "1"})
        assert done.returncode == 0, command
        for flag in flags:
            assert flag in done.stdout, (command, flag)


def test_the_readmes_first_command_makes_its_clip(tmp_path, shipped):
    command = next(c for c in readme_commands() if "generate" in c)
    words = shlex.split(command.split("minisora ", 1)[1])
    done = subprocess.run([sys.executable, "-m", "minisora.cli", *words], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / words[words.index("--out") + 1]).is_file()
    assert ": as asked" in done.stdout, done.stdout
