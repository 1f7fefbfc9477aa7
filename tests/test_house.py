"""What holds for the whole tree: which room may import which, how long a function may be, what the README says."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest

HOME = Path(__file__).parents[1]
SOURCES = sorted((HOME / "recap").rglob("*.py"))
# Who may import whom, beside recap.bounds, recap.records and recap.timing; `settings` are what pipeline composes.
LAW = {
    "cli": {
        "budget",
        "storage",
        "jobs",
        "ledger",
        "planning",
        "prepared",
        "forecast",
        "status",
        "verification",
        "leaving",
        "pipeline",
        "report",
        "pllava",
        "pocket",
        "training",
    },
    "__main__": {"cli"},
    "leaving": {"storage"},
    "delivery": {"storage", "ledger", "review", "translation"},
    "rereview": {"storage", "ledger", "review"},
    "budget": {"pipeline"},
    "cluster": {"graph", "pipeline"},
    "jobs": {
        "budget",
        "cluster",
        "corpus",
        "delivery",
        "graph",
        "ledger",
        "pipeline",
        "planning",
        "prepared",
        "report",
        "rereview",
        "shards",
        "storage",
        "work",
    },
    "forecast": {
        "cluster",
        "storage",
        "corpus",
        "engines",
        "graph",
        "ledger",
        "pipeline",
        "planning",
        "prepared",
        "report",
        "shards",
        "translation",
    },
    "planning": {"storage", "graph", "corpus", "ledger", "engines", "pipeline", "prepared", "translation", "video"},
    "prepared": {"storage", "graph", "ledger", "engines", "pipeline", "translation"},
    "status": {"storage", "ledger"},
    "verification": {"storage", "delivery", "ledger", "review", "shards"},
    "work": {"storage", "graph", "ledger", "report"},
    "graph": {
        "imports",
        "leaving",
        "levels",
        "limits",
        "storage",
        "video",
        "engines",
        "ledger",
        "pllava",
        "review",
        "translation",
    },
    "translation": {"engines", "pllava", "review"},
    "engines": {"limits", "pllava"},
    "pipeline": {
        "storage",
        "corpus",
        "engines",
        "graph",
        "pllava",
        "review",
        "shards",
        "source",
        "translation",
        "typed",
        "video",
    },
    "typed": {"source", "wanted"},
    "training": {"imports", "pllava", "typed", "video"},
    "pocket": {"pllava", "training", "typed", "video"},
    "preprocessing": {"pllava", "video"},
    "report": {"levels", "storage", "forecast", "graph", "ledger", "jobs", "planning", "review", "status", "video"},
    "corpus": {"storage", "ids"},
    "ledger": {"storage", "ids"},
    "ids": set(),
    "storage": set(),
    "pllava": set(),
    "review": set(),
    "shards": {"ledger", "storage"},
    "source": set(),
    "wanted": set(),
    "video": {"imports"},
    "imports": set(),
    "limits": set(),
    "levels": set(),
    "bounds": set(),
    "records": set(),
    "timing": set(),
}
HEAVY = {"torch", "transformers", "ray", "pyarrow", "pydantic", "webdataset", "decord", "av", "rich"}
ALLOWED = {
    "records": set(),
    "video": {"decord", "av"},
    "pllava": {"torch", "transformers"},
    "engines": {"torch", "transformers"},
    "review": set(),
}


def room(path: Path) -> str:
    return path.relative_to(HOME / "recap").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOME)))
def test_imports_point_one_way(path):
    own = room(path)
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "recap" and len(parts) > 1:
            assert parts[1] in LAW[own] | {own, "bounds", "records", "timing", "__version__"}, f"{own} imports {name}"
        elif own in ALLOWED:
            assert parts[0] not in HEAVY - ALLOWED[own], f"{own} imports {name}"


def test_what_may_be_imported_is():
    """A permission that nobody uses any more is taken back."""
    used = defaultdict(set)
    for path in SOURCES:
        used[room(path)].update(part for name in imports(path) for part in name.split(".")[:2])
    permitted = [(own, name) for law in (LAW, ALLOWED) for own, names in law.items() for name in names]
    assert not [(own, name) for own, name in permitted if name not in used[own]]


def functions(paths):
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.end_lineno - node.lineno + 1, f"{path.name}:{node.lineno} {node.name}"


def test_functions_are_short():
    lengths = sorted(functions(SOURCES))
    assert median(length for length, _ in lengths) <= 12
    assert lengths[-1][0] <= 50, lengths[-1]


def test_public_things_say_what_they_are():
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assert path.stat().st_size == 0 or ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_nobody_is_told_to_install_the_recap_of_a_package_index():
    """It is somebody else's: ours is installed from its checkout."""
    told = [HOME / "README.md", *(HOME / "docs").glob("*.md"), *SOURCES]
    assert not [path for path in told if re.search(r"pip install (-\S+ )*['\"]?recap\b", path.read_text())]


def readme_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (HOME / "README.md").read_text(), re.S)


def readme_commands() -> list[str]:
    return [line for block in readme_blocks("sh") for line in block.splitlines() if line]


def test_the_readme_opens_with_the_two_commands():
    assert readme_commands()[:2] == ["make demo", "make test"]


def test_the_makefile_takes_its_variables_from_the_environment():
    environment = os.environ | {"MINUTES": "5", "DEMO_OUT": "elsewhere", "MAKEFLAGS": ""}
    told = subprocess.run(["make", "-n", "soak", "demo"], cwd=HOME, env=environment, capture_output=True, text=True)
    assert "--minutes 5\n" in told.stdout and "output.path=elsewhere\n" in told.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_readmes_commands_run(tmp_path):
    """In order, on the demo: what the README says works as it stands there."""
    bin_folder = HOME / ".venv" / "bin"
    environment = os.environ | {"RECAP_OUTPUT": str(tmp_path / "out"), "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    for command in readme_commands():
        if command.startswith(("make", "INTER4K")):
            continue  # the demo and the suite are CI's; what wants a GPU is run by tests/test_cli.py
        command = command.replace("demo-output", str(tmp_path / "out"))
        result = subprocess.run(shlex.split(command), cwd=HOME, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    for block in readme_blocks("python"):
        code = block.replace("demo-output", str(tmp_path / "out"))
        result = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True)
        assert result.returncode == 0 and "caption" in result.stdout, result.stderr
