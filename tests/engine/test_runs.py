"""What the exit of a run is, for everything that can happen in it: green means verified, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from typing import Any

import pytest
from runbook_engine import chain

from .conftest import Engine

APPLY = ("-e", "mitigation=oil", "-e", "confirm=barn")

CASES = [
    # case, arguments, exit, code of ansible-playbook
    ("", (), (1, "findings_remain"), 0),
    ("healthy", (), (0, "healthy"), 0),
    ("", ("-e", "mitigation=oil", "--check", "--diff"), (3, "planned"), 0),
    ("", APPLY, (0, "verified"), 0),
    ("", ("-e", "mitigation=oil"), (4, "refused"), 2),
    ("", ("-e", "mitigation=oil", "-e", "confirm=stable"), (4, "refused"), 2),
    ("", ("-e", "mitigation=oyl"), (2, "usage"), 2),
    ("", ("-e", "mitigaton=oil"), (2, "usage"), 2),
    ("", (*APPLY, "-e", "brand=thikc"), (2, "usage"), 2),
    ("", ("-e", "undo=20200101t000000z-000000", "-e", "confirm=barn"), (2, "usage"), 2),
    ("all_skipped", (), (9, "nothing_measured"), 2),
    ("all_skipped", APPLY, (4, "refused"), 2),
    ("mitigation_skipped", APPLY, (9, "nothing_ran"), 2),
    ("nothing_changed", APPLY, (9, "nothing_changed"), 2),
    ("verify_fails", APPLY, (9, "verification_failed"), 2),
    ("verify_skipped", APPLY, (9, "not_verified"), 2),
    ("rescued", APPLY, (21, "failed"), 2),
    ("rescued_unchanged", APPLY, (20, "failed_undone"), 2),
    ("unreachable", (), (8, "unreachable"), 4),
    ("", (*APPLY, "--tags", "mitigate"), (4, "refused"), 2),
    ("", (*APPLY, "--limit", "front"), (4, "refused"), 2),
    ("", (*APPLY, "-e", "plan_digest=sha256:0"), (4, "refused"), 2),
    ("all_skipped", ("-e", "mitigation=oil", "--check", "--diff"), (4, "refused"), 2),
    # Ansible itself would end with 0 here.
    ("", ("--start-at-task", "There is no such task"), (9, "nothing_measured"), 9),
]


def _name(row: tuple[str, tuple[str, ...], tuple[int, str], int]) -> str:
    given = " ".join(part for part in row[1] if part != "-e")
    return f"{row[0] or 'as it is'}, {given or 'diagnose'}: {row[2][1]}"


@pytest.mark.parametrize(("case", "arguments", "expected", "code"), CASES, ids=map(_name, CASES))
def test_exit_of_a_run(
    engine: Engine, case: str, arguments: tuple[str, ...], expected: tuple[int, str], code: int
) -> None:
    run = engine.run(*arguments, case=case)
    assert run.exit == expected, run.output
    assert run.code == code, run.output
    assert run.result["exit"]["reason"]
    assert run.result["exit"]["next_step"]


def test_an_empty_group_is_refused_not_green(engine: Engine) -> None:
    run = engine.run(inventory="empty.yml")
    assert run.exit == (2, "usage")
    assert run.code != 0
    assert "doors" in run.output


def test_an_unknown_name_lists_the_valid_ones_the_nearest_first(engine: Engine) -> None:
    run = engine.run("-e", "mitigation=oyl")
    assert "Did you mean oil? Valid: oil, replace." in run.result["exit"]["reason"]


def test_a_host_that_does_not_exist_runs_nothing(engine: Engine) -> None:
    run = engine.run("--limit", "cellar")
    assert run.code != 0
    assert run.folders == []


def test_a_refused_gate_says_what_to_type(engine: Engine) -> None:
    run = engine.run("-e", "mitigation=oil")
    assert "confirm=barn" in run.result["exit"]["next_step"]
    assert [s for s in run.result["steps"] if s["phase"] == "mitigate" and s["status"] != "skipped"] == []


def test_the_plan_tells_targets_steps_diff_and_a_digest_that_the_apply_has_too(engine: Engine) -> None:
    plan = engine.run("-e", "mitigation=oil", "--check", "--diff").result["plan"]
    assert plan["targets"] == ["back", "front"]
    assert plan["steps"] == {"read": 0, "change": 2, "irreversible": 0}
    assert plan["predicted"][0]["diff"] == [{"before": "dry\n", "after": "oiled\n"}]
    assert plan["parameters"] == {"drops": 3}
    applied = engine.run(*APPLY, "-e", f"plan_digest={plan['digest']}")
    assert applied.exit == (0, "verified")
    other = engine.run(*APPLY, "-e", "drops=4", "-e", f"plan_digest={plan['digest']}")
    assert other.exit == (4, "refused")


def test_undo_takes_back_what_a_run_recorded_once(engine: Engine) -> None:
    done = engine.run(*APPLY).result["run"]
    planned = engine.run("-e", f"undo={done}", "--check", "--diff")
    assert planned.exit == (3, "planned"), planned.output
    assert engine.run("-e", f"undo={done}").exit == (4, "refused")
    undone = engine.run("-e", f"undo={done}", "-e", "confirm=barn")
    assert undone.exit == (0, "undone"), undone.output
    assert sorted(undone.result["undone_elsewhere"])[0].endswith(("@front", "@back"))
    assert len(undone.result["undone_elsewhere"]) == 2
    again = engine.run("-e", f"undo={done}", "-e", "confirm=barn")
    assert again.exit == (4, "refused")


def test_undo_refuses_a_record_that_was_edited(engine: Engine) -> None:
    done = engine.run(*APPLY)
    events = done.folders[-1] / "events.jsonl"
    events.write_text(events.read_text().replace('"drops":3', '"drops":9', 1))
    undo = engine.run("-e", f"undo={done.result['run']}", "-e", "confirm=barn")
    assert undo.exit == (4, "refused"), undo.output
    assert "event" in undo.result["exit"]["reason"]


def test_the_artifact_is_the_result(engine: Engine) -> None:
    run = engine.run(*APPLY)
    text = run.output[run.output.index("RUN: ") + 5 :]
    artifact = json.JSONDecoder().raw_decode(text)[0]["runbook_result"]
    for part in ("finished_at", "duration_s", "record"):
        artifact.pop(part)
        run.result.pop(part)
    assert artifact == run.result


def test_what_no_log_hides_is_in_no_file(engine: Engine) -> None:
    canary = "canary-" + os.urandom(8).hex()
    run = engine.run(*APPLY, CANARY=canary)
    assert run.exit == (0, "verified")
    files = [f for f in engine.state.rglob("*") if f.is_file()]
    assert len(files) >= 3
    assert not [f for f in files if canary in f.read_text()]
    assert canary not in run.output


def test_the_record_is_private(engine: Engine) -> None:
    engine.run()
    for path in [engine.state, *engine.state.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_playbook_that_is_no_runbook_is_left_alone(engine: Engine) -> None:
    run = engine.run(playbook="plain.yml", ONCALL_RUN_ID="mine")
    assert run.code == 0
    assert run.folders == []
    assert '"run mine."' in run.output


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("full_folder", "No space left on device"),
        ("read_only_folder", "Read-only file system"),
        ("in the way", "Not a directory"),
        ("too large", "File too large"),
    ],
)
def test_what_cannot_be_recorded_stops_before_anything_is_measured(
    engine: Engine, request: pytest.FixtureRequest, where: str, said: str
) -> None:
    given: dict[str, Any] = {}
    if where.endswith("_folder"):
        given["RUNBOOK_STATE"] = str(request.getfixturevalue(where))
    elif where == "in the way":
        engine.state.write_text("a file")
    else:
        # A limit for files is met like a full disk, and needs no mount.
        given["file_limit"] = 500_000
    run = engine.run(*APPLY, **given)
    assert run.code != 0
    assert "The run cannot be recorded in" in run.output
    assert said in " ".join(run.output.split())
    assert "nothing was changed" in " ".join(run.output.split())
    assert "Push the door" not in run.output
    assert engine.done() == []
    assert run.folders == []


def test_without_the_record_nothing_is_measured_or_changed(engine: Engine) -> None:
    run = engine.run(*APPLY, ANSIBLE_CALLBACKS_ENABLED="junit")
    assert run.code != 0
    assert "not recorded" in run.output
    assert "Put oil" not in run.output


def test_a_run_id_is_never_used_twice(engine: Engine) -> None:
    run = engine.run(RUNBOOK_RUN_ID="20260101t000000z-abcdef")
    assert run.result["run"] == "20260101t000000z-abcdef"
    again = engine.run(RUNBOOK_RUN_ID="20260101t000000z-abcdef")
    assert again.code != 0
    assert "exists already" in again.output
    assert again.result == run.result


@pytest.mark.parametrize(
    ("case", "expected"), [("interrupted", (5, "aborted")), ("interrupted_change", (21, "failed"))]
)
def test_an_interrupted_run_says_so_in_its_result(
    engine: Engine, case: str, expected: tuple[int, str]
) -> None:
    run = engine.run(*APPLY, case=case)
    assert run.code != 0
    assert run.exit == expected, run.output
    assert run.result["ended"] == "interrupted"


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not here")
def test_a_record_that_fills_its_disk_stops_the_run_before_the_next_step(engine: Engine) -> None:
    process = engine.start(*APPLY)
    while not (begun := sorted(engine.state.glob("runs/*/events.jsonl"))) or not begun[0].stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    # From now on its files may not grow: the nearest to a disk that fills up, without a mount.
    subprocess.run(["prlimit", f"--pid={process.pid}", "--fsize=100"], check=True)
    output = " ".join(process.communicate(timeout=120)[0].split())
    assert process.returncode == 21, output
    assert "cannot be written any more" in output
    assert "Put oil on the hinges" not in output
    events, _head = chain.read_events(begun[0], begun[0].parent.name)
    assert events


def test_the_console_is_calm_and_says_all(engine: Engine) -> None:
    engine.stdout_callback = "console"
    plan = engine.run("-e", "mitigation=oil", "--check", "--diff")
    # A path, a hash or a word that cannot be broken may be longer.
    breakable = [line for line in plan.output.splitlines() if "/" not in line and "sha256:" not in line]
    assert max(map(len, breakable)) <= 80
    for part in (
        "Findings",
        "Friction is 9 N of 5 N.",
        "1.  oil: Oil the hinges",
        "+ oiled",
        "digest",
        "confirm=barn",
    ):
        assert part in plan.output
    assert "skipping" not in plan.output
    assert "\033" not in plan.output
    failed = engine.run(*APPLY, case="rescued")
    assert "The can is empty." in failed.output
    assert "failed: 'Put oil on the hinges' on" in failed.output
    assert "{" not in failed.output
