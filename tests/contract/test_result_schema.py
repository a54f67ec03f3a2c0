"""Real runs obey the published schemas, and the schemas refuse what is no result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine.conftest import Engine, tree
from jsonschema import Draft202012Validator
from runbook_engine import verdict

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schema"


def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


__all__ = ["tree"]


@pytest.fixture
def engine(tmp_path: Path, tree: Path) -> Engine:
    return Engine(tmp_path, root=tree, fixtures=tree / "fixtures")


RUNS: list[tuple[str, tuple[str, ...]]] = [
    ("", ()),
    ("", ("-e", "mitigation=oil", "--check", "--diff")),
    ("", ("-e", "mitigation=oil", "-e", "confirm=barn")),
    ("", ("-e", "mitigation=oil")),
    ("", ("-e", "mitigation=oyl")),
    ("rescued", ("-e", "mitigation=oil", "-e", "confirm=barn")),
    ("unreachable", ()),
]


@pytest.mark.parametrize(("case", "arguments"), RUNS)
def test_a_real_run_obeys_the_schemas(engine: Engine, case: str, arguments: tuple[str, ...]) -> None:
    run = engine.run(*arguments, case=case)
    _validator("result-1.json").validate(run.result)
    events = run.events()
    assert events
    for event in events:
        _validator("event-1.json").validate(event)


def test_runs_that_follow_another_obey_the_schemas(engine: Engine) -> None:
    mend, sure = ("-e", "mitigation=mend"), ("-e", "confirm=barn")
    fence = {"playbook": "fence_down.yml"}
    engine.run(*mend, *sure, case="wire_fails", **fence)
    run = engine.run().folders[0].name
    engine.until_free()
    for arguments in (
        (*mend, "-e", f"resume={run}", "--check", "--diff"),
        (*mend, "-e", f"resume={run}", *sure),
    ):
        followed = engine.run(*arguments, **fence)
        assert followed.result["resumes"] == run
        _validator("result-1.json").validate(followed.result)
        for event in followed.events():
            _validator("event-1.json").validate(event)


def test_the_schema_refuses_what_is_no_result(engine: Engine) -> None:
    good = engine.run().result
    validator = _validator("result-1.json")
    for broken in (_without(good, "exit"), good | {"mode": "maybe"}, good | {"surplus": 1}):
        assert list(validator.iter_errors(broken))


def test_the_schema_names_every_exit() -> None:
    exit_schema = json.loads((SCHEMAS / "result-1.json").read_text())["properties"]["exit"]["properties"]
    assert set(exit_schema["name"]["enum"]) == set(verdict.CODES)
    assert set(exit_schema["code"]["enum"]) == set(verdict.CODES.values())


def _without(result: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in result.items() if k != key}
