"""Real runs obey the published schemas, and the schemas refuse what is no result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine.conftest import Engine, tree, validator
from runbook_engine import verdict

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schema"


__all__ = ["tree"]


@pytest.fixture
def engine(tmp_path: Path, tree: Path) -> Engine:
    return Engine(tmp_path, root=tree, fixtures=tree / "fixtures")


def test_runs_that_follow_another_obey_the_schemas(engine: Engine) -> None:
    mend, sure = ("-e", "mitigation=mend"), ("-e", "confirm=barn")
    fence = {"playbook": "fence_down.yml"}
    # Each run of the engine is checked as it ends.
    run = engine.run(*mend, *sure, case="wire_fails", **fence).result["run"]
    engine.until_free()
    for arguments in (("--check", "--diff"), sure):
        followed = engine.run(*mend, "-e", f"resume={run}", *arguments, **fence)
        assert followed.result["resumes"] == run


def test_the_schema_refuses_what_is_no_result(engine: Engine) -> None:
    good = engine.run().result
    of_results = validator("result-1.json")
    for broken in (_without(good, "exit"), good | {"mode": "maybe"}, good | {"surplus": 1}):
        assert list(of_results.iter_errors(broken))


def test_the_schema_names_every_exit() -> None:
    exit_schema = json.loads((SCHEMAS / "result-1.json").read_text())["properties"]["exit"]["properties"]
    assert set(exit_schema["name"]["enum"]) == set(verdict.CODES)
    assert set(exit_schema["code"]["enum"]) == set(verdict.CODES.values())


def _without(result: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in result.items() if k != key}
