"""The rules of a leased lock, and the file that keeps it."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.base import (
    DamagedLeaseError,
    Holder,
    Instant,
    LockHeldError,
    LockLostError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import LockProtocol
from ansible_collections.oncall.runbooks.plugins.modules import lease as module

ALICE = Holder("run-a", "alice", "laptop-a", 11, "restore")
BOB = Holder("run-b", "bob", "laptop-b", 12, "restart")


class Clocked(FileStore):
    """A file whose machine's clock the test sets."""

    instant = Instant("boot-1", 1000.0, 1_790_000_000.0)

    def now(self) -> Instant:
        return self.instant

    def later(self, ticks: float = 0, *, wall: float | None = None, boot: str | None = None) -> None:
        old = self.instant
        moved = old.wall + (ticks if wall is None else wall)
        self.instant = Instant(boot or old.boot, old.ticks + ticks, moved)


@pytest.fixture
def store(tmp_path: Path) -> Clocked:
    return Clocked("roost", {"directory": str(tmp_path / "locks")})


@pytest.fixture
def lock(store: Clocked) -> LockProtocol:
    return LockProtocol(store)


def test_one_holder_and_the_other_is_told_all(lock: LockProtocol) -> None:
    taken = lock.acquire(ALICE, 12)
    assert taken["changed"]
    assert taken["lock"]["held"]
    with pytest.raises(LockHeldError) as refused:
        lock.acquire(BOB, 12)
    for part in ("run-a", "alice", "laptop-a", "pid 11", "restore", "since 2026-", "until 2026-", "12 s"):
        assert part in refused.value.message
    assert refused.value.kind == "lock_held"


def test_the_same_process_may_take_it_again(lock: LockProtocol) -> None:
    first = lock.acquire(ALICE, 12)
    again = lock.acquire(ALICE, 12)
    assert not again["changed"]
    assert again["lock"]["token"] == first["lock"]["token"]


def test_the_same_run_in_another_process_may_not(lock: LockProtocol) -> None:
    lock.acquire(ALICE, 12)
    with pytest.raises(LockHeldError):
        lock.acquire(Holder("run-a", "alice", "laptop-a", 99), 12)


def test_what_ran_out_may_be_taken_and_its_holder_learns_it(lock: LockProtocol, store: Clocked) -> None:
    first = lock.acquire(ALICE, 12)["lock"]["token"]
    store.later(11.9)
    with pytest.raises(LockHeldError):
        lock.acquire(BOB, 12)
    store.later(0.2)
    second = lock.acquire(BOB, 12)["lock"]["token"]
    assert second > first
    with pytest.raises(LockLostError, match="taken by run run-b of bob"):
        lock.renew("run-a", first)
    assert not lock.release("run-a", first)["changed"]
    assert lock.info()["lock"]["holder"]["run"] == "run-b"


def test_renewing_keeps_it_and_also_after_a_gap_that_nobody_used(lock: LockProtocol, store: Clocked) -> None:
    token = lock.acquire(ALICE, 12)["lock"]["token"]
    for _ in range(5):
        store.later(10)
        lock.renew("run-a", token)
    store.later(60)
    assert not lock.info()["lock"]["held"]
    assert lock.renew("run-a", token)["changed"]
    with pytest.raises(LockHeldError):
        lock.acquire(BOB, 12)


@pytest.mark.parametrize("wall", [-86400.0 * 365, 86400.0 * 365])
def test_setting_the_clock_changes_nothing(lock: LockProtocol, store: Clocked, wall: float) -> None:
    lock.acquire(ALICE, 12)
    store.later(1, wall=wall)
    with pytest.raises(LockHeldError):
        lock.acquire(BOB, 12)


@pytest.mark.parametrize(("boot", "ticks"), [("boot-2", 5.0), ("boot-1", -900.0)])
def test_a_restart_frees_it(lock: LockProtocol, store: Clocked, boot: str, ticks: float) -> None:
    first = lock.acquire(ALICE, 12)["lock"]["token"]
    store.later(ticks, boot=boot)
    assert lock.acquire(BOB, 12)["lock"]["token"] > first


def test_released_is_free_at_once(lock: LockProtocol) -> None:
    token = lock.acquire(ALICE, 12)["lock"]["token"]
    assert lock.release("run-a", token)["changed"]
    assert not lock.release("run-a", token)["changed"]
    assert lock.info()["lock"]["last"]["ended"]["how"] == "released"
    assert lock.acquire(BOB, 12)["lock"]["token"] == token + 1
    with pytest.raises(LockLostError):
        lock.renew("run-a", token)


def test_breaking_tells_the_loser_who_and_why(lock: LockProtocol) -> None:
    token = lock.acquire(ALICE, 12)["lock"]["token"]
    with pytest.raises(LockHeldError):
        lock.break_("bob", "asleep", expected_holder="run-z")
    assert lock.break_("bob", "asleep", expected_holder="run-a")["changed"]
    assert not lock.break_("bob", "asleep")["changed"]
    with pytest.raises(LockLostError, match=r"broken by bob at .* \(asleep\)"):
        lock.renew("run-a", token)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"token": "x"}', "\x00" * 10])
def test_a_damaged_file_is_refused_until_it_is_broken(lock: LockProtocol, store: Clocked, text: str) -> None:
    old = lock.acquire(ALICE, 12)["lock"]["token"]
    Path(store.location()).write_text(text)
    with pytest.raises(DamagedLeaseError, match="no lease"):
        lock.acquire(BOB, 12)
    lock.break_("bob", "damaged")
    assert lock.acquire(BOB, 12)["lock"]["token"] > 0
    with pytest.raises(LockLostError):
        lock.renew("run-a", old)


def test_a_removed_file_is_a_lost_lock(lock: LockProtocol, store: Clocked) -> None:
    token = lock.acquire(ALICE, 12)["lock"]["token"]
    Path(store.location()).unlink()
    with pytest.raises(LockLostError, match="removed"):
        lock.renew("run-a", token)


def test_waiting_ends_when_the_lock_is_free(store: Clocked) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        store.later(seconds)

    lock = LockProtocol(store, sleep=sleep, clock=lambda: clock[0])
    lock.acquire(ALICE, 12)
    with pytest.raises(LockHeldError):
        lock.acquire(BOB, 12, wait=5)
    assert 5 <= clock[0] < 6
    assert lock.acquire(BOB, 12, wait=20)["lock"]["holder"]["run"] == "run-b"


def test_check_mode_writes_nothing_and_predicts_the_same(store: Clocked) -> None:
    dry = LockProtocol(store, dry=True)
    predicted = dry.acquire(ALICE, 12)
    assert not Path(store.location()).parent.exists()
    real = LockProtocol(store).acquire(ALICE, 12)
    assert (predicted["changed"], predicted["diff"]) == (real["changed"], real["diff"])
    before = Path(store.location()).read_bytes()
    token = real["lock"]["token"]
    with pytest.raises(LockHeldError):
        dry.acquire(BOB, 12, wait=60)
    assert dry.release("run-a", token)["diff"]["after"] == "lock roost: free\n"
    assert dry.break_("bob", "x")["changed"]
    assert Path(store.location()).read_bytes() == before


def _take(folder: str, number: int, barrier: Any, results: Any) -> None:
    lock = LockProtocol(FileStore("roost", {"directory": folder}))
    barrier.wait()
    try:
        results.put((number, lock.acquire(Holder(f"run-{number}", pid=number), 30)["lock"]["token"]))
    except LockHeldError:
        results.put((number, None))


def test_of_fifty_takers_at_once_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(50), context.Queue()
    folder = str(tmp_path / "locks")
    takers = [context.Process(target=_take, args=(folder, n, barrier, results)) for n in range(50)]
    for taker in takers:
        taker.start()
    told = [results.get(timeout=20) for _ in takers]
    for taker in takers:
        taker.join()
    winners = [n for n, token in told if token is not None]
    assert len(winners) == 1
    held = LockProtocol(FileStore("roost", {"directory": folder})).info()["lock"]
    assert held["holder"]["run"] == f"run-{winners[0]}"


def _count(folder: str, times: int) -> None:
    lock = LockProtocol(FileStore("roost", {"directory": folder}))
    for number in range(times):
        me = Holder(f"run-{multiprocessing.current_process().pid}-{number}")
        token = lock.acquire(me, 30, wait=20)["lock"]["token"]
        counter = Path(folder) / "counter"
        counter.write_text(str(int(counter.read_text()) + 1))
        lock.release(me.run, token)


def test_what_the_lock_guards_is_never_touched_by_two(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(str(tmp_path), 5)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "counter").read_text() == "20"


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore("roost", {"directory": str(tmp_path / "file" / "x")})
    with pytest.raises(OncallError, match=r"Could not take the lock roost \(.*/file/x/roost.lease\)"):
        LockProtocol(store).acquire(ALICE, 12)


def test_a_denied_directory_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, store: Clocked) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.makedirs", denied)
    with pytest.raises(DeniedError, match="become"):
        LockProtocol(store).acquire(ALICE, 12)


@pytest.mark.parametrize(
    "wrong", [{"name": "../etc"}, {"name": ""}, {"lease": 0.0}, {"lease": 99999.0}, {"wait": -1.0}]
)
def test_the_module_refuses_what_cannot_be_meant(tmp_path: Path, wrong: dict[str, Any]) -> None:
    options = {k: v.get("default") for k, v in module.argument_spec().items()}
    options.update(name="roost", directory=str(tmp_path), state="acquired", run="run-a")
    with pytest.raises(UsageError):
        module.run({**options, **wrong}, check_mode=False)
    assert list(tmp_path.iterdir()) == []
    assert json.dumps(module.run(options, check_mode=True)["changed"]) == "true"
