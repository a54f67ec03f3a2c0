"""Words, bars and files made from a result, without Ansible."""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text
from runbook_engine.state import RunFolder

from runbook.live import LiveView, StepView
from runbook.output import make_console
from runbook.output_text import clock, fact_rows, readable, seconds
from runbook.report_timeline import LEFT, RIGHT, WIDTH, draw
from runbook.report_write import write_junit
from runbook.runner_environment import looked_up
from runbook.runner_private import private_folder, swallowed, sweep


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (42, "42 s"),
        (180, "3 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_carry_their_unit(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_clock() -> None:
    assert [clock(0), clock(61), clock(3661)] == ["00:00", "01:01", "1:01:01"]


def test_facts_have_units_and_leave_out_what_is_empty() -> None:
    facts = fact_rows(
        {"age_s": 90, "live_size": 1_500_000, "empty": [], "none": None, "on": True, "names": ["a", "b"]}
    )
    assert facts == [("age", "90 s"), ("live size", "1.5 MB"), ("on", "yes"), ("names", "a, b")]
    assert readable([{"table": "x", "rows": 0}, {"table": "y"}]) == "table x; rows 0\ntable y"


def _step(number: int, start: str, duration: float | None, **more: Any) -> dict[str, Any]:
    made = {
        "id": f"{number}@h", "name": f"step {number}", "host": "h", "phase": "verify", "effect": "read",
        "action": "x", "status": "ok", "changed": False, "started_at": start, "duration_s": duration,
    }  # fmt: skip
    return made | more


def test_timeline_keeps_proportions_and_stays_inside() -> None:
    steps = [
        _step(1, "2026-01-01T00:00:00.000000Z", 2.0),
        _step(2, "2026-01-01T00:00:02.000000Z", 8.0, phase="mitigate"),
        _step(3, "2026-01-01T00:00:10.000000Z", None, status="started"),
    ]
    drawn = draw(steps, "2026-01-01T00:00:00.000000Z", 10.0)
    first, second, third = drawn.bars
    assert second.width == pytest.approx(4 * first.width, rel=0.01)
    assert second.x == pytest.approx(first.x + first.width, abs=0.2)
    assert first.x == LEFT
    assert second.x + second.width <= WIDTH - RIGHT + 0.1
    assert third.label == "not finished"
    assert [band.phase for band in drawn.bands] == ["verify", "mitigate", "verify"]
    assert [label for _, label in drawn.ticks] == ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]


def test_no_steps_no_timeline() -> None:
    assert draw([], None, None).bars == []


def test_junit_survives_control_characters_and_tells_failures(tmp_path: Path) -> None:
    result = {
        "system": "s", "runbook": {"name": "r"}, "duration_s": 1.0,
        "exit": {"code": 9, "name": "verification_failed", "reason": "no\x00\x1b", "next_step": "look"},
        "steps": [
            _step(1, "x", 1.0, status="failed", msg="bad \x07 <thing>"),
            _step(2, "x", 1.0, status="unreachable"),
            _step(3, "x", None, status="skipped"),
        ],
    }  # fmt: skip
    write_junit(tmp_path / "j.xml", result)
    suite = ET.parse(tmp_path / "j.xml").getroot()
    counted = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "4", "failures": "2", "errors": "1", "skipped": "1"}


def test_private_folder_is_private_and_wiped_whatever_happens() -> None:
    seen: list[Path] = []

    def fail() -> None:
        with private_folder() as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "secret").write_text("x")
            seen.append(folder)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not seen[0].exists()


def test_only_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    left, held, young, other = (tmp_path / name for name in ("runbook-a", "runbook-b", "runbook-c", "else"))
    for folder in (left, held, young, other):
        folder.mkdir()
        if folder is not young:
            os.utime(folder, (time.time() - 60, time.time() - 60))
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    sweep(tmp_path)
    os.close(handle)
    assert [f.exists() for f in (left, held, young, other)] == [False, True, True, True]


def test_what_is_swallowed_is_never_stored(tmp_path: Path) -> None:
    path = tmp_path / "command"
    with swallowed(path):
        path.write_text("canary" * 100_000)
    assert not path.is_file()


def test_environment_names_are_found_in_inventories(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(
        "a: \"{{ lookup('env', 'ONE') }}\"\nc: env FOUR\n"
        'b: \'{{ lookup("ansible.builtin.env", "TWO", "THREE") }}\'\n'
    )
    assert looked_up(tmp_path) == {"ONE", "TWO", "THREE"}


def _folder(tmp_path: Path, events: list[tuple[str, dict[str, Any]]]) -> RunFolder:
    folder = RunFolder("x", tmp_path)
    folder.events.write_text("".join(json.dumps({"type": t, "data": d}) + "\n" for t, d in events))
    folder.progress.touch()
    return folder


def test_live_view_has_one_line_per_step_that_matters(tmp_path: Path) -> None:
    def started(step: int, host: str, phase: str = "diagnose") -> tuple[str, dict[str, Any]]:
        about = {"step": step, "host": host, "name": f"Step {step} " + "x" * 90, "phase": phase}
        return "step.started", about | {"effect": "read", "action": "ping"}

    def finished(step: int, host: str, status: str, **more: Any) -> tuple[str, dict[str, Any]]:
        return "step.finished", {"step": step, "host": host, "status": status, "duration_s": 1.0, **more}

    events = [
        started(1, "a", "engine"), finished(1, "a", "ok"),
        started(2, "a"), started(2, "b"), finished(2, "a", "ok"),
        finished(2, "b", "failed", msg="no space left"),
        started(3, "a"), finished(3, "a", "skipped"),
        started(5, "a"), finished(5, "a", "ignored", msg="nobody listens"), started(4, "a"),
    ]  # fmt: skip
    out = io.StringIO()
    view = LiveView(Console(file=out, width=80), 900)
    view.started(_folder(tmp_path, events))
    (tmp_path / "progress.jsonl").write_text('{"text": "12 of 50 MB read", "total": 50, "bytes": 12}\n{"half')
    view.poll()
    view.ended()
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[2] for line in lines if "Step" in line] == ["Step"] * 3
    assert "1 failed, 1 ok" in lines[0]
    assert "b: no space left" in lines[1]
    # What a runbook goes on after is told, too: nobody knows else why there is nothing measured.
    assert "a: nobody listens" in lines[3]
    assert "12 of 50 MB read" in out.getvalue()
    assert "Step 4" in lines[-1]


def test_on_a_terminal_a_long_step_has_a_bar_with_its_rate_and_the_time_left(tmp_path: Path) -> None:
    started = {
        "step": 1,
        "host": "a",
        "name": "Restore",
        "phase": "mitigate",
        "effect": "change",
        "action": "x",
    }
    out = io.StringIO()
    view = LiveView(Console(file=out, width=80, force_terminal=True, color_system=None), 900)
    view.started(_folder(tmp_path, [("step.started", started)]))
    told = {"text": "12 of 50 MB read, 6 MB/s, 6 s left; 4000 rows", "total": 50, "bytes": 12}
    (tmp_path / "progress.jsonl").write_text(json.dumps(told) + "\n")
    view.poll()
    drawn = Console(file=io.StringIO(), width=80, color_system=None)
    with drawn.capture() as capture:
        drawn.print(view._footer())
    view.ended()
    first, bar, said = capture.get().splitlines()
    assert "Restore" in first
    assert "of 15:00" in first
    assert 18 <= len(bar.rstrip()) <= 20  # 12 of 50, of 80 columns
    assert "6 MB/s, 6 s left; 4000 rows" in said


@pytest.mark.parametrize(("environ", "colored"), [({"NO_COLOR": "1"}, False), ({}, True)])
def test_colours_are_left_out_on_request(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], colored: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environ, "TERM": "xterm-256color", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    console = make_console()
    with console.capture() as capture:
        console.print(Text("failed", style="red"))
    assert ("\x1b[31m" in capture.get()) == colored


def test_a_long_message_of_a_step_stays_below_its_step() -> None:
    out = io.StringIO()
    view = LiveView(Console(file=out, width=80), None)
    view._line(StepView(1, "Measure", "diagnose", "x", {"h": "failed"}, {"h": "much to say " * 20}))
    lines = out.getvalue().splitlines()
    assert len(lines) > 3
    assert all(line.startswith(" " * 7) for line in lines[1:])
    assert max(map(len, lines)) <= 80


def test_what_is_wrong_is_said_as_soon_as_it_is_measured(tmp_path: Path) -> None:
    """The worst first, in one line each; what is well, and what a verifying step finds, waits for the end."""

    def found(check: str, status: str) -> dict[str, str]:
        return {"check": check, "status": status, "host": "a", "summary": f"{check} is {status}. " * 9}

    step = {"step": 1, "host": "a", "name": "Measure", "phase": "diagnose", "effect": "read", "action": "x"}
    checks = [found("load", "ok"), found("disk", "warn"), found("log", "unknown"), found("data", "fail")]
    events = [
        ("step.started", step),
        ("step.finished", {**step, "status": "ok", "duration_s": 1.0, "findings": checks}),
        ("step.started", {**step, "step": 2, "name": "Look again", "phase": "verify"}),
        ("step.finished", {**step, "step": 2, "status": "ok", "findings": checks}),
        ("step.started", {**step, "step": 3}),
        ("step.finished", {**step, "step": 3, "status": "ok", "findings": [found("disk", "fail")] * 9}),
    ]
    out = io.StringIO()
    view = LiveView(Console(file=out, width=80), None)
    view.started(_folder(tmp_path, events[:3]))
    view.poll()
    lines = out.getvalue().splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["fail", "data"],
        ["unknown", "log"],
        ["warn", "disk"],
    ]
    assert all(len(line) <= 80 and line.endswith("…") for line in lines[1:])
    _folder(tmp_path, events)
    view.poll()
    view.ended()
    lines = out.getvalue().splitlines()[4:]
    assert "Look again" in lines[0]
    assert "Measure" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["fail"] * 6 + ["and"]
    assert "3 more" in lines[-1]
