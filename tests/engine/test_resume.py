"""A run that was stopped anywhere is resumed: nothing twice, nothing left out, and the right verdict."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import record, state

from .conftest import Engine, Run

MEND = ("-e", "mitigation=mend")
SURE = ("-e", "confirm=barn")
WHOLE = [f"{what} {host}" for what in ("burn", "post", "wire") for host in ("back", "front")]


def _run(engine: Engine, *arguments: str, **more: Any) -> Run:
    return engine.run(*arguments, playbook="fence_down.yml", **more)


def _resume(engine: Engine, run: str, **more: Any) -> Run:
    engine.until_free()
    return _run(engine, *MEND, "-e", f"resume={run}", *SURE, **more)


@pytest.mark.parametrize(
    "strike",
    [
        "SIGKILL in String the wire front",
        "SIGKILL after Set the post back",
        "SIGTERM after String the wire front",
        "stop before Burn the old post",
        *(
            pytest.param(strike, marks=pytest.mark.slow)
            for strike in (
                "SIGKILL before Set the post",
                "SIGKILL before Burn the old post",
                "SIGKILL before Look at the fence again",
                "SIGINT in Burn the old post back",
                "SIGTERM before Look at the fence again",
            )
        ),
    ],
)
def test_wherever_a_run_is_stopped_it_is_resumed_without_doing_anything_twice(
    engine: Engine, strike: str
) -> None:
    stopped = _run(engine, *MEND, *SURE, STRIKE=strike)
    assert stopped.code != 0, stopped.output
    (folder,) = state.list_runs(engine.state)
    result = record.settled(folder)
    before = engine.done()
    if before:
        assert (result["exit"]["code"], result["exit"]["name"]) == (21, "failed"), result["exit"]
        assert f"resume={folder.run}" in result["exit"]["next_step"]
    else:
        assert (result["exit"]["code"], result["exit"]["name"]) == (5, "aborted"), result["exit"]
    resumed = _resume(engine, folder.run)
    assert resumed.exit == (0, "verified"), resumed.output
    assert sorted(engine.done()) == WHOLE
    assert engine.done()[: len(before)] == before
    assert resumed.result["resumes"] == folder.run
    for each in state.list_runs(engine.state):
        record.verify(each)
    assert not engine.lock.info()["lock"]["held"]


def test_what_failed_is_done_again_and_what_was_done_is_not(engine: Engine) -> None:
    failed = _run(engine, *MEND, *SURE, case="wire_fails")
    assert failed.exit == (21, "failed")
    # The host says that the wire was strung, whatever its step said.
    resumed = _resume(engine, failed.result["run"])
    assert resumed.exit == (0, "verified"), resumed.output
    assert sorted(engine.done()) == WHOLE
    told = {(t["name"], t["state"]) for t in resumed.result["reconciled"]}
    assert told == {("String the wire", "done")}


def test_what_the_first_of_three_runs_had_done_counts_in_the_last(engine: Engine) -> None:
    """The first is killed as it oils, the second finds nothing left to oil and is killed behind that."""
    oil = ("-e", "mitigation=oil", *SURE)
    first = engine.run(*oil, case="SIGKILL")
    engine.until_free()
    strike = {"case": "nothing_changed", "STRIKE": "SIGKILL before Push the door again"}
    second = engine.run(*oil, "-e", f"resume={first.folders[0].name}", **strike)
    newest = max(folder.name for folder in second.folders)
    assert newest != first.folders[0].name
    engine.until_free()
    third = engine.run(*oil, "-e", f"resume={newest}", case="nothing_changed")
    assert third.exit == (0, "verified"), third.output


def test_a_run_whose_changes_do_not_help_is_not_green_after_its_resume_either(engine: Engine) -> None:
    stopped = _run(engine, *MEND, *SURE, STRIKE="SIGKILL before Look at the fence again")
    resumed = _resume(engine, stopped.folders[0].name, case="verify_fails")
    assert resumed.exit == (9, "verification_failed"), resumed.output
    assert f"undo={resumed.result['run']}" in resumed.result["exit"]["next_step"]
    undone = _run(engine, "-e", f"undo={resumed.result['run']}", *SURE)
    assert undone.exit == (0, "undone"), undone.output
    taken = engine.done()[6:]
    assert [line.split()[1] for line in taken] == ["wire", "wire", "post", "post"]


def test_the_plan_of_a_resume_says_what_is_left_and_changes_nothing(engine: Engine) -> None:
    engine.stdout_callback = "console"
    stopped = _run(engine, *MEND, *SURE, STRIKE="SIGKILL before Burn the old post")
    run, before = stopped.folders[0].name, engine.done()
    plan = _run(engine, *MEND, "-e", f"resume={run}", "--check", "--diff")
    assert plan.exit == (3, "planned"), plan.output
    assert engine.done() == before
    said = " ".join(plan.output.split())
    assert f"done already Set the post (front), by run {run}" in said
    assert "no way back Burn the old post cannot be taken back" in said
    assert plan.result["plan"]["steps"]["change"] == 2
    first = _run(engine, *MEND, "--check", "--diff").result["plan"]
    assert first["bound"] == plan.result["plan"]["bound"]
    assert first["digest"] != plan.result["plan"]["digest"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-e", "wires=2"), "differs in parameters"),
        (("--limit", "localhost,front"), "targets"),
    ],
)
def test_another_plan_is_not_a_resume(engine: Engine, given: tuple[str, ...], said: str) -> None:
    stopped = _run(engine, *MEND, *SURE, STRIKE="SIGKILL before Burn the old post")
    before = engine.done()
    engine.until_free()
    refused = _run(engine, *MEND, "-e", f"resume={stopped.folders[0].name}", *SURE, *given)
    assert refused.exit == (4, "refused"), refused.output
    assert said in refused.result["exit"]["reason"]
    assert engine.done() == before


def test_what_was_taken_back_is_not_resumed(engine: Engine) -> None:
    stopped = _run(engine, *MEND, *SURE, STRIKE="SIGKILL before Burn the old post")
    run = stopped.folders[0].name
    engine.until_free()
    assert _run(engine, "-e", f"undo={run}", *SURE).exit == (0, "undone")
    refused = _resume(engine, run)
    assert refused.exit == (4, "refused"), refused.output
    assert "was taken back since" in refused.result["exit"]["reason"]


def test_a_run_that_was_resumed_is_taken_back_with_the_run_that_resumed_it(engine: Engine) -> None:
    stopped = _run(engine, *MEND, *SURE, STRIKE="SIGKILL before Burn the old post")
    run = stopped.folders[0].name
    resumed = _resume(engine, run)
    refused = _run(engine, "-e", f"undo={run}", *SURE)
    assert refused.exit == (4, "refused")
    assert f"Run {resumed.result['run']} resumed run {run}" in refused.result["exit"]["reason"]
    engine.stdout_callback = "console"
    undone = _run(engine, "-e", f"undo={resumed.result['run']}", *SURE)
    assert undone.exit == (0, "undone"), undone.output
    assert [line.split()[1] for line in engine.done()[6:]] == ["wire", "wire", "post", "post"]
    assert "Burn the old post (front): it is irreversible" in " ".join(undone.output.split())
    assert _run(engine, "-e", f"undo={resumed.result['run']}", *SURE).exit == (4, "refused")


@pytest.mark.slow
def test_one_step_can_be_taken_back_alone(engine: Engine) -> None:
    done = _run(engine, *MEND, *SURE).result
    wire, burn = (
        next(s["id"] for s in done["steps"] if s["name"] == n)
        for n in ("String the wire", "Burn the old post")
    )
    number = wire.partition("@")[0]
    one = _run(engine, "-e", f"undo={done['run']}", "-e", f"undo_step={wire}", *SURE)
    assert one.exit == (0, "undone"), one.output
    assert engine.done()[6:] == [f"take wire {wire.partition('@')[2]}"]
    assert "still in place" in one.result["exit"]["reason"]
    rest = _run(engine, "-e", f"undo={done['run']}", "-e", f"undo_step={number}", *SURE)
    assert len(engine.done()) == 8, rest.output
    for step, said in ((burn, "it is irreversible"), ("99", "nothing that a recorded undo takes back")):
        refused = _run(engine, "-e", f"undo={done['run']}", "-e", f"undo_step={step}", *SURE)
        assert refused.exit == (4, "refused"), refused.output
        assert said in refused.result["exit"]["reason"]


def test_an_undo_that_was_killed_goes_on_without_taking_back_twice(engine: Engine) -> None:
    done = _run(engine, *MEND, *SURE).result["run"]
    killed = _run(engine, "-e", f"undo={done}", *SURE, STRIKE="SIGKILL after Take it down again back")
    assert killed.code == -9
    before = engine.done()
    engine.until_free()
    again = _run(engine, "-e", f"undo={done}", *SURE)
    assert again.exit == (0, "undone"), again.output
    taken = engine.done()[6:]
    assert sorted(taken) == sorted(set(taken)), taken
    assert len(taken) == 4
    assert engine.done()[: len(before)] == before


def test_the_screen_of_the_gate_tells_what_the_plan_had_estimated(engine: Engine) -> None:
    engine.stdout_callback = "console"
    done = _run(engine, *MEND, *SURE).result["run"]
    plan = _run(engine, "-e", f"undo={done}", "--check", "--diff")
    assert "takes about 28 s" not in plan.output  # four steps of the same name, two hosts at once
    estimate = next(line for line in plan.output.splitlines() if line.startswith("takes  "))
    applied = _run(engine, "-e", f"undo={done}", *SURE)
    screen = applied.output.partition("Gate: passed")[2].partition("Mitigate")[0]
    assert estimate in screen.splitlines(), applied.output
    assert "not estimated" not in screen
    assert applied.result["plan"]["planned_by"] == plan.result["run"]
