"""Who uses processors and memory: services against their limits, what runs away, and never who looks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import samples, usage
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.samples import Process, Sample
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.usage import measure_usage
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    EnvironmentFact,
    Provider,
    ServiceError,
    ServiceState,
)

HERTZ = os.sysconf("SC_CLK_TCK")
RULE = {
    "samples": 2,
    "interval": 0.05,
    "memory_fail_percent": 85.0,
    "processor_fail_percent": 80.0,
    "host_fail_percent": 101.0,
    "process_fail_percent": 80.0,
    "process_age": 0.0,
}


class Fake(Provider):
    """A service of the process `pid`, started with `settings`."""

    kind = "supervisor"

    def __init__(
        self, pid: int, settings: dict[str, str] | None = None, error: ServiceError | None = None
    ) -> None:
        super().__init__("fake", timeout=1)
        self._pid, self._error, self._settings = pid, error, settings or {}

    def state(self) -> ServiceState:
        if self._error:
            raise self._error
        return ServiceState(self.kind, self.name, True, bool(self._pid), "up", pid=self._pid)

    def environment(self, names: Any, numbers: Any = ()) -> dict[str, EnvironmentFact]:
        return {name: EnvironmentFact.of(self._settings.get(name), number=True) for name in names}

    logs = thaw = restart = None  # type: ignore[assignment]


def service(name: str = "api", **limits: Any) -> dict[str, Any]:
    """Return what the inventory says of a service."""
    return {"name": name, "part": name, "usage": limits}


@contextmanager
def child(program: str) -> Iterator[int]:
    """A process that runs a program; its number once it is at it."""
    command = [sys.executable, "-S", "-c", f"import sys; {program}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def found(services: list[Any], **changed: Any) -> dict[str, list[dict[str, Any]]]:
    """Measure, and return the findings by check."""
    made: dict[str, list[dict[str, Any]]] = {}
    for one in measure_usage(services, {**RULE, **changed}):
        made.setdefault(one["check"], []).append(one)
    return made


@pytest.mark.parametrize(
    ("limits", "settings", "status"),
    [
        ({"memory_limit": 48 << 20}, {}, "fail"),
        ({"memory_limit": 480 << 20}, {}, "ok"),
        ({"memory_limit_setting": "LIMIT"}, {"LIMIT": str(48 << 20)}, "fail"),
        ({"memory_limit_setting": "LIMIT"}, {"LIMIT": "much"}, "ok"),
        ({}, {}, "ok"),
    ],
)
def test_a_service_is_held_against_its_limit(
    limits: dict[str, Any], settings: dict[str, str], status: str
) -> None:
    with child("import time; b = b'x' * (42 << 20); print(flush=True); time.sleep(60)") as pid:
        (one,) = found([(service(**limits), Fake(pid, settings))])["service_usage"]
    assert one["status"] == status
    assert one["observed"]["memory"] >= 42 << 20
    limit = one["observed"]["memory_limit"]
    assert (one["observed"]["raise_to"] > limit) == bool(limit)


def test_what_does_not_run_uses_nothing_and_what_cannot_be_asked_is_unknown() -> None:
    wrong = ServiceError("ask the platform", got="it does not answer", next_step="look")
    made = found([(service("down"), Fake(0)), (service("lost"), Fake(0, error=wrong))])["service_usage"]
    assert [one["status"] for one in made] == ["ok", "unknown"]
    assert "does not run" in made[0]["summary"]


def looks(
    *spans: dict[int, float], names: dict[int, str], parents: dict[int, int] | None = None
) -> list[Sample]:
    """Samples a second apart, in which each process used so much of one processor."""
    ticks = dict.fromkeys(names, 0.0)
    made = []
    for number in range(len(spans) + 1):
        if number:
            for pid, share in spans[number - 1].items():
                ticks[pid] += share * HERTZ
        there = {
            pid: Process(pid, (parents or {}).get(pid, 1), name, "R", int(ticks[pid]), 1)
            for pid, name in names.items()
        }
        made.append(Sample(float(number), there, busy=number * 50, total=number * 100))
    return made


def test_only_what_is_busy_in_every_look_runs_away(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {900001: "export", 900002: "cron", 900003: "api", 900004: "api-child"}
    taken = looks(
        {900001: 0.95, 900002: 0.99, 900003: 0.5, 900004: 0.45},
        {900001: 0.90, 900002: 0.10, 900003: 0.5, 900004: 0.45},
        names=names,
        parents={900004: 900003},
    )
    monkeypatch.setattr(usage, "take_samples", lambda _count, _interval: taken)
    made = found([(service(processors=1.0), Fake(900003))], host_fail_percent=40.0)
    (others,), (own,), (host,) = made["process_usage"], made["service_usage"], made["processors"]
    assert [row["program"] for row in others["observed"]["runaway"]] == ["export"]
    assert (others["status"], own["status"], host["status"]) == ("fail", "fail", "fail")
    assert own["observed"]["too_much"] == ["processors"]
    assert host["observed"]["percents"] == [50.0, 50.0]
    young = found([(service(), Fake(900003))], process_age=1e12)["process_usage"][0]
    assert young["status"] == "ok"


def test_a_number_that_another_process_got_counts_from_its_start() -> None:
    first, second = looks({7: 0.1}, names={7: "old"})
    reborn = Process(7, 1, "new", "R", 30, 99)
    later = Sample(second.at, {7: reborn}, second.busy, second.total)
    assert samples.used_percents([first, later], {7}) == [pytest.approx(100.0 * 30 / HERTZ)]


def test_who_looks_is_not_judged() -> None:
    there = samples.take_samples(0, 0.0)[0].processes
    assert {1, os.getpid(), os.getppid()} & set(there) <= samples.not_for_judgement(there)


def test_control_groups_are_read(tmp_path: Any) -> None:
    group = tmp_path / "docker" / "x"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000\n")
    (group / "memory.stat").write_text("anon 700\ninactive_file 200\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.events").write_text("oom 1\noom_kill 2\n")
    (group / "cpu.max").write_text("150000 100000\n")
    assert samples.group_memory("/docker/x", str(tmp_path)) == (800, 0, 2)
    assert samples.group_processors("/docker/x", str(tmp_path)) == 1.5
    assert samples.group_processors("/docker/none", str(tmp_path)) == 0.0
    process = tmp_path / "77"
    process.mkdir()
    for text, wanted in (("0::/docker/x\n", "/docker/x"), ("0::/\n", ""), ("3:cpu:/y\n", "")):
        (process / "cgroup").write_text(text)
        assert samples.control_group(77, str(tmp_path)) == wanted


def test_a_real_look_sees_a_busy_process() -> None:
    with child("print(flush=True); exec('while True: pass')") as pid:
        time.sleep(0.1)
        taken = samples.take_samples(1, 0.4)
    (used,) = samples.used_percents(taken, {pid})
    assert used > 5
