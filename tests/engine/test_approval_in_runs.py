"""A change that needs a second operator: planned, approved, applied, by real runs."""

from __future__ import annotations

from runbook_engine import approval

from .conftest import Engine

PLAN = ("-e", "mitigation=oil", "--check", "--diff")
APPLY = ("-e", "mitigation=oil", "-e", "confirm=barn")
ASKED = {"NEEDS_APPROVAL": "yes", "RUNBOOK_OPERATOR": "alice"}


def test_what_needs_an_approval_waits_for_it(engine: Engine) -> None:
    engine.stdout_callback = "console"
    alone = engine.run(*APPLY, **ASKED)
    assert alone.exit == (4, "refused"), alone.output
    assert alone.result["refusal"]["kind"] == "approval"
    plan = engine.run(*PLAN, **ASKED)
    digest, run = plan.result["plan"]["digest"], plan.result["run"]
    assert f"runbook approve {run}" in " ".join(plan.output.split())
    assert f"plan_digest={digest}" in plan.output
    bound = (*APPLY, "-e", f"plan_digest={digest}")
    assert engine.run(*bound, **ASKED).exit == (4, "refused")
    approval.approve(engine.state, run, "bob")
    assert engine.run(*bound, **ASKED | {"RUNBOOK_OPERATOR": "bob"}).exit == (4, "refused")
    assert engine.run(*bound, "-e", "drops=4", **ASKED).exit == (4, "refused")
    done = engine.run(*bound, **ASKED)
    assert done.exit == (0, "verified"), done.output
    assert [given["approved_by"] for given in done.result["approvals"]] == ["bob"]
    assert done.result["plan"]["digest"] == digest


def test_break_glass_is_loud_and_stays_in_the_record(engine: Engine) -> None:
    engine.stdout_callback = "console"
    run = engine.run(*APPLY, "-e", "break_glass='nobody answers the phone'", **ASKED)
    assert run.exit == (0, "verified"), run.output
    assert run.result["gate"]["break_glass"] == "nobody answers the phone"
    assert run.output.count("BREAK-GLASS") == 2


def test_a_plan_whose_code_changed_since_is_another_plan(engine: Engine) -> None:
    digest = engine.run(*PLAN).result["plan"]["digest"]
    roles = engine.folder / "roles"
    roles.mkdir()
    (roles / "more.yml").write_text("- name: More\n")
    engine.roles = [roles]
    run = engine.run(*APPLY, "-e", f"plan_digest={digest}")
    assert run.exit == (4, "refused"), run.output
    assert "differs in content" in run.result["exit"]["reason"]
