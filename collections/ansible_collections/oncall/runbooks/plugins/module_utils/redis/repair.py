# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that keep Redis from starting: copy them, cut what is damaged or take the snapshot, and back."""

from __future__ import annotations

__metaclass__ = type

import os
import re
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size, span
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.address import login_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import session
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.files import (
    Names,
    install,
    keep,
    put_back,
    require_room,
    require_whole,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider

SOURCES = ("aof", "snapshot", "empty")
_CHECK_TIMEOUT = 300.0
_GONE = ("refused", "unreachable")
# One file has no name in the words of Redis before 7.
_ANALYSED = re.compile(r"AOF analyzed:(?: filename=([^,]+),)? size=(\d+), ok_up_to=(\d+)")


@dataclass(frozen=True)
class Part:
    """One file of an append-only log: its name from the root, its size, how many of its bytes are good."""

    name: str
    size: int
    good: int

    @property
    def bad(self) -> int:
        """Bytes from the first damaged entry to the end."""
        return self.size - self.good


def repair(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Make the files such that the server can start, or take that back; return the module's result.

    Raises ConflictError, and changes nothing, when the server answers or the way asked for is no help.
    """
    names = Names(params["data_path"])
    provider = choose_provider(params["runtime"], timeout=10.0)
    if params["state"] == "undone":
        return _undo(names, provider, params, check_mode)
    _must_be_down(params, "diagnose again")
    plan = {"aof": _plan_cut, "snapshot": _plan_snapshot, "empty": _plan_empty}[params["source"]]
    result, change = plan(names, provider, params)
    if not check_mode:
        _stop(provider, params)
        sums = keep(names, params["keep_dir"])
        result["evidence"] = [
            {
                "name": name,
                "path": os.path.join(params["keep_dir"], name),
                "sha256": digest,
                "summary": "as it was before anything was touched",
            }
            for name, digest in sorted(sums.items())
        ]
        change()
    return result


def _answers(params: Mapping[str, Any]) -> bool:
    try:
        login = login_of(params)
        with session(login, timeout=2.0) as client:
            client.call("PING")
    except RedisError as exc:
        return exc.kind not in _GONE
    return True


def _must_be_down(params: Mapping[str, Any], next_step: str) -> None:
    if _answers(params):
        raise ConflictError(
            "touch the files of Redis",
            on=params["login_host"] or "its container",
            got="the server runs and answers; its files change meanwhile, and are not what is wrong",
            next_step=next_step,
        )


def _stop(provider: Provider, params: Mapping[str, Any]) -> None:
    """End one that is started again and again: it would read what is half changed."""
    state = provider.state()
    if state.running or state.restarting:
        provider.stop(stop_timeout=params["stop_timeout"])


def _plan_cut(names: Names, provider: Provider, params: Mapping[str, Any]) -> Tuple[Dict[str, Any], Any]:
    parts = check(names, names.append_only, provider, params)
    damaged = [part for part in parts if part.bad]
    if not damaged:
        raise ConflictError(
            "cut the append-only file of Redis",
            on=names.path(names.append_only),
            got="it is whole: something else keeps the server from starting",
            next_step="read redis_log",
        )
    part = parts[-1]
    if damaged != [part]:
        raise ConflictError(
            "cut the append-only file of Redis",
            on=names.path(damaged[0].name),
            got="the damage is not in the last of its files, and what follows stands on it",
            next_step="use the snapshot: redis_repair_source=snapshot",
        )
    loss = "the last %s of %s, from the first damaged entry on (byte %d)" % (
        size(part.bad),
        part.name,
        part.good,
    )
    result = _result(names, params, "%s is cut" % part.name, loss, {part.name: part.good})
    return result, lambda: os.truncate(names.path(part.name), part.good)


def _plan_snapshot(names: Names, provider: Provider, params: Mapping[str, Any]) -> Tuple[Dict[str, Any], Any]:
    path = names.path(names.snapshot)
    if not os.path.isfile(path):
        raise UsageError(
            "start Redis from its snapshot",
            on=path,
            got="there is none",
            next_step="cut the append-only file instead: redis_repair_source=aof",
        )
    (part,) = check(names, names.snapshot, provider, params)
    if part.bad:
        raise ConflictError(
            "start Redis from its snapshot",
            on=path,
            got="it is damaged, too, from byte %d on" % part.good,
            next_step="cut the append-only file instead, or bring an older copy of the snapshot",
        )
    age = time.time() - os.path.getmtime(path)
    loss = "everything since the snapshot, which is %s old" % span(age)
    logs = [name for name in names.present() if name != names.snapshot]
    after = {names.snapshot: part.size, **({names.single: part.size} if logs else {})}
    result = _result(names, params, "the last snapshot takes the place of the append-only file", loss, after)

    def change() -> None:
        # With an append-only file switched on and none there, Redis starts empty and overwrites the snapshot:
        # so the snapshot becomes that file, which may begin with one.
        names.remove(*logs)
        if logs:
            install(path, names.path(names.single))

    return result, change


def _plan_empty(names: Names, provider: Provider, params: Mapping[str, Any]) -> Tuple[Dict[str, Any], Any]:  # noqa: ARG001 - the shared signature
    if not params["cache_only"] or not params["confirm_empty"]:
        raise ConflictError(
            "start Redis empty",
            on=names.root,
            got="it holds more than a cache, or nobody has confirmed it",
            next_step="cut the append-only file or use the snapshot; a cache needs redis_confirm_empty=true",
        )
    present = names.present()
    loss = "everything that it held; the copies are kept"
    return _result(names, params, "Redis starts empty", loss, {}), lambda: names.remove(*present)


def _result(
    names: Names, params: Mapping[str, Any], summary: str, loss: str, after: Mapping[str, int]
) -> Dict[str, Any]:
    before = {name: os.path.getsize(names.path(name)) for name in names.present()}
    kept = dict(before, **after) if params["source"] == "aof" else dict(after)
    return {
        "changed": True,
        "prediction": {
            "summary": "%s; its files are copied first" % summary,
            "duration_s": 1.0 + sum(before.values()) / 50e6,
            "data_loss": loss,
        },
        "diff": {"before": _listed(before), "after": _listed(kept)},
        "undo": {
            "summary": "Stop Redis and put the copied files back, which it could not start with; "
            "what was written since is kept beside them.",
            "reversible": True,
            "role": "oncall.runbooks.redis",
            "entry_point": "repair_undo",
            "args": {"keep_dir": params["keep_dir"]},
        },
    }


def _listed(files: Mapping[str, int]) -> str:
    return "".join("%s %d bytes\n" % item for item in sorted(files.items())) or "no files\n"


def _undo(names: Names, provider: Provider, params: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
    target, answers = params["keep_dir"], _answers(params)
    later = os.path.join(target, "since-%d" % time.time())
    # Before Redis is stopped for it.
    require_whole(target)
    require_room(names, later)
    before = {name: os.path.getsize(names.path(name)) for name in names.present()}
    result = {
        "changed": True,
        "diff": {"before": _listed(before), "after": "the files of %s\n" % target},
        "prediction": {
            "summary": "%sthe files are what they were, so Redis cannot start; "
            "those that are there now are kept in %s"
            % ("Redis is stopped, and stays down; " if answers else "", target),
            "duration_s": 1.0,
            "data_loss": "none; what was written since is in the files that are kept",
        },
    }
    if not check_mode:
        _stop(provider, params)
        _must_be_down(
            params, "it was told to stop: see what else listens there, then take the run back again"
        )
        sums = keep(names, later)
        result["evidence"] = [
            {
                "name": name,
                "path": os.path.join(later, name),
                "sha256": digest,
                "summary": "what was written since",
            }
            for name, digest in sorted(sums.items())
        ]
        put_back(names, target)
    return result


def check(names: Names, name: str, provider: Provider, params: Mapping[str, Any]) -> List[Part]:
    """Have Redis's own program look at an append-only file or a snapshot, and return what it says of each.

    It only reads. Raises OncallError when it says nothing that can be understood.
    """
    argv = [*_program(provider, params), os.path.join(params["container_dir"] or names.root, name)]
    done = run(argv, timeout=_CHECK_TIMEOUT, merge=True)
    folder = os.path.dirname(name)
    found = [
        Part(os.path.join(folder, match.group(1)) if match.group(1) else name, *map(int, match.group(2, 3)))
        for match in _ANALYSED.finditer(done.out)
    ]
    if found:
        return found
    if "RDB looks OK" in done.out:
        whole = os.path.getsize(names.path(name))
        return [Part(name, whole, whole)]
    raise OncallError(
        "check %s" % name,
        on=" ".join(argv),
        got=done.out.strip()[-300:] or "exit code %d" % done.rc,
        next_step="run it by hand; the snapshot may be whole: redis_repair_source=snapshot",
        kind="not_checked",
    )


def _program(provider: Provider, params: Mapping[str, Any]) -> List[str]:
    if params["check_command"]:
        return list(params["check_command"])
    if provider.kind not in ("docker", "compose"):
        return ["redis-check-aof"]
    engine = str(params["runtime"].get("engine") or "docker")
    asked = run([engine, "inspect", "--format", "{{.Image}}", provider.name], timeout=10.0)
    if asked.rc != 0:
        raise OncallError(
            "find the image of Redis",
            on=provider.name,
            got=asked.err.strip()[-300:],
            next_step="set check_command to what runs redis-check-aof here",
        )
    # A container that is down has no inside: its volumes are mounted into another one of the same image.
    return [
        engine, "run", "--rm", "--network", "none", "--volumes-from", provider.name + ":ro",
        "--entrypoint", "redis-check-aof", asked.out.strip(),
    ]  # fmt: skip
