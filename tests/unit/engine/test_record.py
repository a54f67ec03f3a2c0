"""The record: durable, private, and no edit of it passes unseen."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
from runbook_engine import chain, record, state
from runbook_engine.errors import RecordError, StateError, UsageError

RUN = "20261121t064300z-7f3a9c"


def _finished(tmp_path: Path) -> state.RunFolder:
    folder = state.create_run(tmp_path, RUN)
    with record.RecordWriter(folder) as writer:
        writer.append("run.started", {"run": RUN, "check_mode": False, "runbook": {"name": "x"}})
        for number in range(1, 9):
            step = {"step": number, "host": "h", "name": f"step {number}", "phase": "diagnose"}
            writer.append("step.started", {**step, "effect": "read", "action": "probe"})
            writer.append("step.finished", {**step, "status": "ok", "changed": False, "duration_s": 0.1})
        writer.finish({"ended": "finished", "hosts": {}})
    return folder


def test_a_record_as_written_verifies(tmp_path: Path) -> None:
    folder = _finished(tmp_path)
    assert record.verify(folder).events == 18
    assert record.read(folder) == state.load_result(folder)


def _damaged(good: bytes, other: bytes, chance: random.Random) -> bytes:
    """One random damage: of a byte, of a line, of the end, or with a line of another record."""
    place, size = chance.randrange(len(good)), chance.randrange(1, 40)
    lines = good.splitlines(keepends=True)
    one, two = chance.sample(range(len(lines)), 2)
    swapped = dict(enumerate(lines)) | {one: lines[two], two: lines[one]}
    foreign = chance.choice(other.splitlines(keepends=True))
    return chance.choice(
        (
            good[:place] + bytes([good[place] ^ (1 << chance.randrange(8))]) + good[place + 1 :],
            good[:place] + good[place + size :],
            good[:place] + good[place : place + size] + good[place:],
            good[:place] + chance.randbytes(size) + good[place:],
            good[:place],
            b"".join(lines[:one] + lines[one + 1 :]),
            b"".join(swapped[number] for number in range(len(lines))),
            b"".join([*lines[:one], lines[two], *lines[one:]]),
            b"".join([*lines[:one], foreign, *lines[one + 1 :]]),
        )
    )


def test_a_thousand_edits_deletions_swaps_and_cuts_are_all_found(tmp_path: Path) -> None:
    folder, chance = _finished(tmp_path), random.Random(7)
    originals = {path: path.read_bytes() for path in (folder.events, folder.result)}
    other = tmp_path / "other"
    other.mkdir()
    foreign = _finished(other).events.read_bytes()
    tried = 0
    while tried < 1000:
        path, good = chance.choice(list(originals.items()))
        damaged = _damaged(good, foreign, chance)
        if damaged == good:
            continue
        path.write_bytes(damaged)
        with pytest.raises(RecordError):
            record.verify(folder)
        path.write_bytes(good)
        tried += 1
    record.verify(folder)


@pytest.mark.parametrize("number", range(18))
def test_removal_swap_repetition_and_cut_name_the_first_bad_event(tmp_path: Path, number: int) -> None:
    folder = _finished(tmp_path)
    lines = folder.events.read_bytes().splitlines(keepends=True)
    damaged = {
        "removed": lines[:number] + lines[number + 1 :],
        "swapped": [*lines[:number], *reversed(lines[number : number + 2]), *lines[number + 2 :]],
        "repeated": [*lines[: number + 1], *lines[number:]],
        "cut": [*lines[:number], lines[number][:-9]],
        "ended early": lines[:number],
    }
    for how, changed in damaged.items():
        if changed == lines:
            continue
        folder.events.write_bytes(b"".join(changed))
        with pytest.raises(RecordError) as caught:
            record.verify(folder)
        assert caught.value.event == number + 1 + (how == "repeated"), how


def test_a_log_of_another_run_is_refused(tmp_path: Path) -> None:
    folder = _finished(tmp_path)
    other = state.create_run(tmp_path, "20261121t064300z-000000")
    other.events.write_bytes(folder.events.read_bytes())
    other.result.write_bytes(folder.result.read_bytes())
    with pytest.raises(RecordError) as caught:
        record.verify(other)
    assert caught.value.event == 1


def test_a_run_that_was_killed_reduces_and_is_not_green(tmp_path: Path) -> None:
    folder = _finished(tmp_path)
    lines = folder.events.read_bytes().splitlines(keepends=True)
    folder.events.write_bytes(b"".join(lines[:-1]))
    folder.result.unlink()
    result = record.read(folder)
    assert result["ended"] == "running"
    assert result["exit"]["code"] != 0
    with pytest.raises(RecordError, match="killed or is still running"):
        record.verify(folder)


def test_a_hundred_thousand_events_verify_within_two_seconds() -> None:
    head, lines = chain.genesis(RUN), []
    data = {"step": 1, "host": "roost-prod", "name": "x" * 60, "phase": "diagnose", "text": "y" * 200}
    for _ in range(100_000):
        line, head = chain.seal(head, "2026-11-21T06:43:00.123456Z", "step.finished", data)
        lines.append(line)
    raw = b"".join(lines)
    began = time.process_time()
    assert chain.verify_lines(raw, RUN) == head
    assert time.process_time() - began < 2


def test_a_write_that_fails_midway_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state.create_run(tmp_path, RUN)
    with record.RecordWriter(folder) as writer:
        writer.append("run.started", {"run": RUN})
        real = os.write

        def full(handle: int, data: bytes) -> int:
            if len(data) < 50:
                raise OSError(28, "No space left on device")
            return real(handle, data[:-40])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            writer.append("play.started", {"name": "x"})
        monkeypatch.undo()
        writer.append("play.started", {"name": "y"})
    events, _head = chain.read_events(folder.events, RUN)
    assert [e["data"].get("name") for e in events] == [None, "y"]


def test_ids_are_never_given_twice_and_are_no_paths(tmp_path: Path) -> None:
    runs = {state.create_run(tmp_path).run for _ in range(200)}
    assert len(runs) == 200
    assert [f.run for f in state.list_runs(tmp_path)] == sorted(runs, reverse=True)
    with pytest.raises(StateError, match="exists already"):
        state.create_run(tmp_path, next(iter(runs)))
    with pytest.raises(UsageError):
        state.run_folder(tmp_path, "../../etc")


def test_an_unusable_state_folder_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be recorded in .*file.*: Not a directory"):
        state.create_run(tmp_path / "file")


def test_a_state_folder_without_room_for_a_whole_record_is_refused(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(StateError, match=r"cannot be recorded in .*: File too large") as refused:
            state.create_run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "make room" in refused.value.next_step
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_state_folder_is_chosen_in_the_documented_order(tmp_path: Path) -> None:
    both = {"RUNBOOK_STATE": "/a", "XDG_STATE_HOME": "/x"}
    assert state.state_dir(tmp_path, both) == tmp_path
    assert state.state_dir(None, both) == Path("/a")
    assert state.state_dir(None, {"XDG_STATE_HOME": "/x"}) == Path("/x/runbook")
    assert state.state_dir(None, {}) == Path.home() / ".local/state/runbook"


def test_live_views_read_whole_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(b'{"n":1}\n{"n":')
    events, offset = record.tail(file)
    assert (events, offset) == ([{"n": 1}], 8)
    file.write_bytes(b'{"n":1}\n{"n":2}\n')
    assert record.tail(file, offset)[0] == [{"n": 2}]


def test_long_texts_are_cut_with_their_hash(tmp_path: Path) -> None:
    folder = state.create_run(tmp_path)
    with record.RecordWriter(folder) as writer:
        writer.append("play.started", {"name": "x" * 100_000, "odd": float("nan"), "set": {1}})
    line = json.loads(folder.events.read_text())
    assert len(line["data"]["name"]) < 17_000
    assert "100000 characters in all, sha256" in line["data"]["name"]
    assert line["data"]["odd"] == "nan"


def test_an_interrupt_in_the_middle_of_a_write_breaks_no_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state.create_run(tmp_path)
    sync = os.fsync

    def interrupted(handle: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sync(handle)

    with record.RecordWriter(folder) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.append("run.started", {"run": folder.run})
        writer.finish({"ended": "interrupted", "hosts": {}})
    record.verify(folder)
