# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several looks at all processes of a host, and what each of them used in between."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

_KTHREADD = 2


@dataclass(frozen=True)
class Process:
    """One process at one moment: `ticks` of processor time so far, `started` in ticks since boot."""

    pid: int
    parent: int
    name: str
    state: str
    ticks: int
    started: int


@dataclass(frozen=True)
class Sample:
    """All processes at one moment (`at`, monotonic seconds), and the processors' ticks: busy, and all."""

    at: float
    processes: Mapping[int, Process]
    busy: int
    total: int


def take_samples(
    count: int,
    interval: float,
    root: str = "/proc",
    sleep: Callable[[float], None] = time.sleep,
) -> List[Sample]:
    """Return `count` + 1 samples, `interval` seconds apart: as many spans between them as were asked for."""
    samples = [_sample(root)]
    for _number in range(count):
        sleep(interval)
        samples.append(_sample(root))
    return samples


def _sample(root: str) -> Sample:
    with open("%s/stat" % root, encoding="ascii") as handle:
        # user nice system idle iowait irq softirq steal; guest time is in user time already.
        ticks = [int(word) for word in handle.readline().split()[1:9]]
    processes = (read_process(int(name), root) for name in os.listdir(root) if name.isdigit())
    found = {one.pid: one for one in processes if one is not None}
    return Sample(time.monotonic(), found, sum(ticks) - ticks[3] - ticks[4], sum(ticks))


def read_process(pid: int, root: str = "/proc") -> Optional[Process]:
    """Return one process, None when it does not live."""
    try:
        with open("%s/%d/stat" % (root, pid), encoding="utf-8", errors="replace") as handle:
            text = handle.read()
    except OSError:
        return None
    words = text[text.rindex(")") + 2 :].split()
    if words[0] in ("Z", "X"):
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    return Process(pid, int(words[1]), name, words[0], int(words[11]) + int(words[12]), int(words[19]))


def busy_percents(samples: Sequence[Sample]) -> List[float]:
    """Return how busy the processors of the host were in each span, in percent."""
    pairs = zip(samples, samples[1:])  # noqa: B905, RUF007 - neither is in Python 3.8
    return [100.0 * (b.busy - a.busy) / max(1, b.total - a.total) for a, b in pairs]


def used_percents(samples: Sequence[Sample], pids: Set[int]) -> List[float]:
    """Return what these processes used in each span, in percent of one processor."""
    hertz = float(os.sysconf("SC_CLK_TCK"))
    found = []
    for before, after in zip(samples, samples[1:]):  # noqa: B905, RUF007 - neither is in Python 3.8
        ticks = 0
        for pid in pids & set(after.processes):
            then, now = before.processes.get(pid), after.processes[pid]
            # One that began meanwhile, or got the number of another, has used what it has.
            ticks += now.ticks - (then.ticks if then and then.started == now.started else 0)
        found.append(100.0 * ticks / hertz / max(0.001, after.at - before.at))
    return found


def tree(processes: Mapping[int, Process], pid: int) -> Set[int]:
    """Return a process with all that it has started."""
    children: Dict[int, List[int]] = {}
    for one in processes.values():
        children.setdefault(one.parent, []).append(one.pid)
    found, left = set(), [pid]
    while left:
        current = left.pop()
        if current in processes and current not in found:
            found.add(current)
            left += children.get(current, [])
    return found


def not_for_judgement(processes: Mapping[int, Process]) -> Set[int]:
    """Return the first process, the kernel's own, and whoever looks, with those that started it."""
    found = {1} | tree(processes, _KTHREADD) if _is_kernel(processes) else {1}
    pid = os.getpid()
    while pid in processes:
        found.add(pid)
        pid = processes[pid].parent
    return found


def _is_kernel(processes: Mapping[int, Process]) -> bool:
    # In a namespace of processes the number belongs to anybody.
    second = processes.get(_KTHREADD)
    return second is not None and second.name == "kthreadd"


def control_group(pid: int, root: str = "/proc") -> str:
    """Return the path of a process's control group (version 2), "" when it is the host's own or not known."""
    with contextlib.suppress(OSError), open("%s/%d/cgroup" % (root, pid), encoding="utf-8") as handle:
        for line in handle:
            number, _controllers, path = line.rstrip("\n").split(":", 2)
            if number == "0" and path != "/":
                return path
    return ""


def private_memory(pids: Set[int], root: str = "/proc") -> int:
    """Return the bytes of memory that only these processes have: what they share is counted nowhere."""
    return sum(_anonymous(pid, root) for pid in pids)


def _anonymous(pid: int, root: str) -> int:
    with contextlib.suppress(OSError), open("%s/%d/status" % (root, pid), encoding="utf-8") as handle:
        for line in handle:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def group_memory(group: str, root: str = "/sys/fs/cgroup") -> Tuple[int, int, int]:
    """Return a group's memory that cannot be given back at once, its limit (0: none), and its kills."""
    stat = _table("%s%s/memory.stat" % (root, group))
    current = _number("%s%s/memory.current" % (root, group))
    kills = _table("%s%s/memory.events" % (root, group)).get("oom_kill", 0)
    return (
        max(0, current - stat.get("inactive_file", 0)),
        _number("%s%s/memory.max" % (root, group)),
        kills,
    )


def group_processors(group: str, root: str = "/sys/fs/cgroup") -> float:
    """Return how many processors a control group may use, 0 for no limit."""
    with contextlib.suppress(OSError, ValueError), open("%s%s/cpu.max" % (root, group)) as handle:
        quota, period = handle.read().split()
        return 0.0 if quota == "max" else int(quota) / float(period)
    return 0.0


def _number(path: str) -> int:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as handle:
        return int(handle.read())
    return 0


def _table(path: str) -> Dict[str, int]:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as handle:
        return {name: int(count) for name, count in (line.split() for line in handle)}
    return {}
