"""What a file of the project needs: as much as Python's own parser finds in it, and what texts name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from runbook_engine import code_files
from runbook_engine.project_files import Project

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "collections" / "ansible_collections" / "oncall" / "runbooks" / "plugins"
PACKAGE = "ansible_collections.oncall.runbooks.plugins"
OWN = sorted({*PLUGINS.rglob("*.py"), *(ROOT / "plugins").rglob("*.py")})


def imported(path: Path) -> Iterator[Path]:
    """The files of the project that the import statements of `path` name, by Python's parser."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from places(alias.name)
        elif isinstance(node, ast.ImportFrom):
            package = (
                ".".join(path.relative_to(PLUGINS).parts[: -node.level])
                if node.level and path.is_relative_to(PLUGINS)
                else ""
            )
            module = f"{PACKAGE}.{package}.{node.module or ''}" if node.level else node.module
            for alias in node.names:
                yield from places(f"{module}.{alias.name}".replace("..", "."))


def places(name: str) -> Iterator[Path]:
    for package, base in ((PACKAGE, PLUGINS), ("runbook_engine", ROOT / "plugins" / "runbook_engine")):
        if name == package or name.startswith(package + "."):
            parts = name[len(package) :].split(".")[1:]
            for path in (base.joinpath(*parts[:many]) for many in range(len(parts) + 1)):
                yield from (p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file())


def test_it_finds_all_that_the_parser_finds() -> None:
    missed = {
        (str(path.relative_to(ROOT)), str(wanted.relative_to(ROOT)))
        for path in OWN
        for wanted in set(imported(path)) - set(code_files._needs(Project(ROOT), path))
    }
    assert not missed
    assert sum(len(set(imported(path))) for path in OWN) > 500, "else this proves nothing"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"from {PACKAGE}.module_utils import errors, findings as f", {"errors", "findings"}),
        (
            f"if x:\n    from {PACKAGE}.module_utils import (\n      errors,  # y\n      findings,\n    )",
            {"errors", "findings"},
        ),
        (f"import {PACKAGE}.module_utils.errors as e, os", {"errors"}),
        (f'import_module("{PACKAGE}.module_utils.errors")', {"errors"}),
        ('self._execute_module(module_name="oncall.runbooks.lease")', {"lease"}),
        (
            "extends_documentation_fragment:\n  - oncall.runbooks.edge\n  - oncall.runbooks.attributes.x\n",
            {"edge", "attributes"},
        ),
        (f'"{PACKAGE}.module_utils.errors is a name in a sentence"', set()),
    ],
)
def test_every_way_to_name_a_file(text: str, wanted: set[str], tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(text)
    found = set(code_files._needs(Project(ROOT), tmp_path / "one.py"))
    assert {path.stem for path in found} - {"__init__"} == wanted


def test_imports_are_followed_to_their_ends() -> None:
    found = code_files.closure(Project(ROOT), [PLUGINS / "modules" / "pg_restore_r2.py"])
    assert {"job.py", "job_restore.py", "lexer.py"} <= {path.name for path in found}
