# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the space of an enlarged device usable: the partition, then the file system, while it is mounted."""

from __future__ import annotations

__metaclass__ = type

import os
import shutil
import time
from typing import Any, Callable, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size
from ansible_collections.oncall.runbooks.plugins.module_utils.storage.layout import (
    Layout,
    Tool,
    grow_tool,
    layout_of,
    partition_tool,
    rescan,
)

# Less than this is the alignment of a partition or the end of a file system, not space to be won.
SLACK = 4 * 1024 * 1024
_POLL = 0.5  # seconds
_PROGRAM = 600.0  # seconds


def grow(
    params: Mapping[str, Any],
    *,
    check_mode: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Dict[str, Any]:
    """Enlarge the file system of `path` to the end of its device and return the module's result.

    With `device_bytes` the device (the disk, where there is a partition) has to get that large first. Raises
    OncallError; its `changed` says whether the partition or the file system is larger than before.
    """
    path, expected = params["path"], int(params["device_bytes"] or 0)
    if not check_mode and expected:
        _wait_for_device(path, expected, params["timeout"], clock, sleep)
    layout = layout_of(path)
    result = _predicted(layout, expected)
    _refuse(path, layout, result["changed"])
    if check_mode or not result["changed"]:
        return result
    try:
        result["commands"] = _enlarge(path)
        after = layout_of(path)
    except OncallError as exc:
        exc.changed = layout_of(path) != layout
        raise
    # The prediction of a partition is an upper bound: its table takes some of the end.
    if after.filesystem_size < after.device_size - SLACK or after.filesystem_size <= layout.filesystem_size:
        raise _short(path, layout, after)
    result["size"] = after.filesystem_size
    result["diff"]["after"] = _text(after.filesystem_size)
    return result


def _whole(layout: Layout) -> int:
    return layout.disk_size or layout.device_size


def _wait_for_device(
    path: str, expected: int, limit: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    deadline = clock() + limit
    while True:
        layout = layout_of(path)
        if _whole(layout) >= expected:
            return
        if clock() > deadline:
            raise VerificationError(
                "see the device at its new size",
                on=layout.disk or layout.device,
                got="after %g s it has %s, not %s" % (limit, size(_whole(layout)), size(expected)),
                next_step="see whether %s lies on the volume that was enlarged" % path,
            )
        rescan(layout.disk or layout.device)
        sleep(_POLL)


def _predicted(layout: Layout, expected: int) -> Dict[str, Any]:
    reachable = layout.device_size + layout.room_behind + max(0, expected - _whole(layout))
    changed = reachable - layout.filesystem_size >= SLACK
    goal = reachable if changed else layout.filesystem_size
    what = "%s at %s" % (layout.mount.fstype, layout.mount.point)
    said = "it reaches the end of its device already (%s)" % size(layout.filesystem_size)
    if changed:
        said = "it grows from %s to %s while it is mounted" % (size(layout.filesystem_size), size(goal))
    result: Dict[str, Any] = {
        "changed": changed,
        "device": layout.device,
        "fstype": layout.mount.fstype,
        "mount": layout.mount.point,
        "size_before": layout.filesystem_size,
        "size": goal,
        "commands": [],
        "prediction": {"summary": "%s: %s" % (what, said), "data_loss": "none", "duration_s": 5.0},
        "diff": {"before": _text(layout.filesystem_size), "after": _text(goal)},
    }
    if changed:
        result["undo"] = {"summary": "A mounted file system cannot be made smaller.", "reversible": False}
    return result


def _text(count: int) -> str:
    # To the MiB: a partition's table takes a little that nobody can foretell.
    return "%d MiB\n" % (count // (1024 * 1024))


def _refuse(path: str, layout: Layout, changed: bool) -> None:
    if not changed:
        return
    if "ro" in layout.mount.options:
        got = "it is mounted read-only, which often means that the kernel found it damaged"
        next_step = "look at the kernel's log and check the file system before anything else"
        raise UsageError("enlarge the file system", on=layout.mount.point, got=got, next_step=next_step)
    tools: List[Tool] = [grow_tool(layout)]
    partition = partition_tool(layout)
    if partition:
        tools.append(partition)
    for program, _arguments, package in tools:
        if _found(program) is None:
            raise UsageError(
                "enlarge the file system of %s" % path,
                on=layout.device,
                got="the program %s is not installed" % program,
                next_step="install the package %s on this host" % package,
                kind="tool_missing",
            )


def _found(program: str) -> Any:
    # Without a login shell the folders of root's own programs are often not on PATH.
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _enlarge(path: str) -> List[str]:
    done: List[str] = []
    layout = layout_of(path)
    partition = partition_tool(layout)
    if partition and layout.room_behind >= SLACK:
        done.append(_run(partition, layout))
        layout = layout_of(path)
    done.append(_run(grow_tool(layout), layout))
    return done


def _run(tool: Tool, layout: Layout) -> str:
    program, arguments, _package = tool
    argv = [str(_found(program)), *arguments]
    finished = run(argv, timeout=_PROGRAM, merge=True)
    if finished.rc != 0:
        raise OncallError(
            "enlarge %s" % layout.device,
            on=" ".join(argv),
            got=finished.out.strip()[-400:] or "exit code %d" % finished.rc,
            next_step="run the same command by hand; the data is not touched by a failed attempt",
            kind="program",
        )
    return " ".join(argv)


def _short(path: str, before: Layout, after: Layout) -> VerificationError:
    error = VerificationError(
        "enlarge the file system of %s" % path,
        on=after.device,
        got="it has %s on a device of %s" % (size(after.filesystem_size), size(after.device_size)),
        next_step="run it again, or the program by hand",
    )
    error.changed = after != before
    return error
