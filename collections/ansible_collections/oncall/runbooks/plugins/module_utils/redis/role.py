# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a replica a primary, only when it is proven that no other server takes writes; and back."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import os
import shutil
from contextlib import closing
from dataclasses import replace
from typing import Any, Dict, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.address import login_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.answers import try_write
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Client, Login, session
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.info import Info, ask_info, ask_settings
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.save import take_snapshot


def set_role(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Make the server what `params` say (`state` primary or replica) and return the module's result.

    Raises ConflictError, and changes nothing, when another server may be the primary.
    """
    with session(login_of(params), timeout=params["timeout"]) as client:
        info = ask_info(client)
        if params["state"] == "primary":
            return _promote(client, info, params, check_mode)
        return _follow(client, info, params, check_mode)


def follows(info: Info) -> Tuple[str, int]:
    """Return the address of the primary that a server follows, empty when it follows none."""
    if not info.has("role", "slave"):
        return "", 0
    return info.get("master_host", ""), info.number("master_port")


def _promote(client: Client, info: Info, params: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
    host, port = follows(info)
    if not host:
        return _result(False, "primary", "primary", "It is a primary already.")
    proof = "confirmed by the operator" if params["confirm"] else _prove(host, port, info, client.login)
    result = _result(True, "replica of %s:%d" % (host, port), "primary", "It becomes a primary: %s." % proof)
    result["proof"] = proof
    result["undo"] = {
        "summary": "It follows %s:%d again; a snapshot of what it holds is kept first." % (host, port),
        "reversible": True,
        "role": "oncall.runbooks.redis",
        "entry_point": "promote_undo",
        "args": {"host": host, "port": port},
    }
    if not check_mode:
        _be(client, "NO", "ONE", wanted="master")
        try_write(client)
    return result


def _prove(host: str, port: int, info: Info, own: Login) -> str:
    """Return why no other server can be the primary; raises ConflictError when one may be."""
    if info.has("master_link_status", "up"):
        raise _conflict(host, port, "the link to it is up: it is alive and may take writes")
    try:
        other = Client(replace(own, host=host, port=port, unix_socket=""), timeout=2.0)
    except RedisError as exc:
        return "nobody listens at %s:%d, which it follows (%s)" % (host, port, exc.got)
    # Whatever takes the connection may be the primary, also when it says nothing that we understand.
    with closing(other):
        try:
            other.log_in()
            there = ask_info(other)
        except RedisError as exc:
            raise _conflict(host, port, "something listens there: %s" % exc.got) from None
    if there.get("run_id") == info.get("run_id"):
        return "it follows itself"
    raise _conflict(host, port, "a Redis answers there, as %s" % there.get("role", "unknown"))


def _conflict(host: str, port: int, got: str) -> ConflictError:
    return ConflictError(
        "make this Redis a primary",
        on="it follows %s:%d" % (host, port),
        got=got,
        next_step="make sure that nothing writes there, then give redis_confirm_primary=true",
    )


def _follow(client: Client, info: Info, params: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
    host, port = params.get("primary_host") or "", params.get("primary_port") or 0
    if not host or not port:
        raise UsageError(
            "make Redis a replica", got="no primary is named", next_step="set primary_host and primary_port"
        )
    now, goal = follows(info), "replica of %s:%d" % (host, port)
    before = "replica of %s:%d" % now if now[0] else "primary"
    if now == (host, port):
        return _result(False, goal, goal, "It is that replica already.")
    result = _result(True, before, goal, "It becomes a %s; what it holds is kept in a snapshot first." % goal)
    if not check_mode:
        result["evidence"] = [_keep_snapshot(client, params)]
        _be(client, host, port, wanted="slave")
    return result


def _be(client: Client, host: str, port: Any, *, wanted: str) -> None:
    client.call("REPLICAOF", host, port, tried="change whom Redis follows")
    role = ask_info(client).get("role", "unknown")
    if role != wanted:
        error = VerificationError("change whom Redis follows", on=client.login.address, got="it is %s" % role)
        error.changed = True
        raise error


def _keep_snapshot(client: Client, params: Mapping[str, Any]) -> Dict[str, Any]:
    """A sync with another primary throws everything away that is here: write it out and copy the file."""
    take_snapshot(client, wait=params["save_timeout"])
    name = ask_settings(client, "dbfilename").get("dbfilename", "dump.rdb")
    source, folder = os.path.join(params["data_path"], name), params["keep_dir"]
    target = os.path.join(folder, name)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        shutil.copyfile(source, target)
        os.chmod(target, 0o600)
        with open(target, "rb") as handle:
            digest = hashlib.sha256(handle.read()).hexdigest()
    except OSError as exc:
        raise OncallError(
            "keep a snapshot of Redis",
            on=source,
            got="%s; nothing was changed" % exc,
            next_step="set data_path to the folder of its files, and make room",
            kind="not_kept",
        ) from None
    return {"name": name, "path": target, "sha256": digest, "summary": "all keys before it followed another"}


def _result(changed: bool, before: str, after: str, summary: str) -> Dict[str, Any]:
    return {
        "changed": changed,
        "diff": {"before": before + "\n", "after": after + "\n"},
        "prediction": {"summary": summary, "duration_s": 0.5, "data_loss": "none"},
    }
