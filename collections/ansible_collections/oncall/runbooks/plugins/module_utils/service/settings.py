# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change settings of services where they are read, start these again, prove it, and can take it back."""

from __future__ import annotations

__metaclass__ = type

import os
import time
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import span
from ansible_collections.oncall.runbooks.plugins.module_utils.service.consumers import (
    described,
    names_of,
    stale,
    start_again,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile
from ansible_collections.oncall.runbooks.plugins.module_utils.service.pending import pending_changes, utc
from ansible_collections.oncall.runbooks.plugins.module_utils.service.preimage import (
    Preimage,
    digest_of,
    file_for,
    load,
    only_one,
    open_changes,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.schedule import arm, disarm, is_armed
from ansible_collections.oncall.runbooks.plugins.module_utils.service.settings_undo import take_back

Params = Mapping[str, Any]
Values = Dict[str, Optional[str]]
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "DOCKER_HOST", "DOCKER_CONFIG", "LD_LIBRARY_PATH")
_USUAL_RESTART = 5.0


def set_settings(params: Params, *, check_mode: bool) -> Dict[str, Any]:
    """Set the keys of `params` and return the module's result; in check mode only look and predict.

    A service that does not come back with the new settings gets the old ones back before the error is raised.
    """
    values = _wanted(params)
    before = EnvFile.read(params["path"])
    after = before.changed(values)
    consumers = stale(params["consumers"], values)
    result = _predicted(params, values, before, after, consumers)
    if not result["changed"]:
        return result
    if after.text != before.text:
        _alone(params)
    if check_mode:
        return result
    kept = _keep(params, values, before)
    try:
        with only_one(kept.file):
            # A schedule that is due before this is done has to wait for it.
            _change(kept, before, after, consumers, values)
    except OncallError as exc:
        _put_back(kept, exc)
        raise
    result["scheduled"] = _schedule_of(kept)
    return result


def _wanted(params: Params) -> Values:
    values: Values = {key: str(value) for key, value in (params["values"] or {}).items()}
    secrets = {key: str(value) for key, value in (params["secrets"] or {}).items()}
    twice = set(values) & set(secrets) | (set(values) | set(secrets)) & set(params["unset"])
    if twice or not (values or secrets or params["unset"]):
        raise UsageError(
            "change the settings",
            got="%s given twice" % ", ".join(sorted(twice)) if twice else "no key was given",
            next_step="give each key once, in values, secrets or unset",
        )
    values.update(secrets)
    values.update(dict.fromkeys(params["unset"]))
    return values


def _alone(params: Params) -> None:
    """A second temporary change would keep the first one's value as if it were meant to stay."""
    for kept in open_changes(params["private_dir"], params["path"]):
        if kept.state == "armed" and kept.run != params["run"]:
            raise ConflictError(
                "change %s" % kept.path,
                got="%s is set for a limited time by run %s, until %s"
                % (kept.keys, kept.run, utc(kept.until)),
                next_step="take that back first: runbook undo %s" % kept.run,
            )


def _predicted(
    params: Params, values: Values, before: EnvFile, after: EnvFile, consumers: List[Any]
) -> Dict[str, Any]:
    changed = after.text != before.text or bool(consumers)
    what = "%s of %s is set" % (", ".join(sorted(values)), params["path"])
    if after.text == before.text:
        what = "%s has it already" % params["path"]
    text = "%s; started again in this order: %s" % (what, names_of(consumers))
    minutes = params["for_minutes"]
    if minutes and changed:
        until = utc(time.time() + minutes * 60)
        text += "; the host itself takes all of it back after %s, about %s" % (span(minutes * 60), until)
    secret = set(params["secrets"] or {})
    result: Dict[str, Any] = {
        "changed": changed,
        "keys": sorted(values),
        "consumers": [consumer["name"] for consumer in consumers],
        "prediction": {
            "summary": text,
            "duration_s": _USUAL_RESTART * len(consumers),
            "data_loss": "none; open requests to %s end" % names_of(consumers),
        },
        "diff": {
            "before": _shown(before, values, secret, ""),
            "after": _shown(after, values, secret, ", new" if after.text != before.text else ""),
        },
    }
    if changed:
        file = file_for(params["private_dir"], params["run"], params["path"])
        result["undo"] = _undo(file, params["path"], ", ".join(sorted(values)))
    return result


def _shown(file: EnvFile, values: Values, secret: Any, mark: str) -> str:
    """The keys concerned as they are in the file; of a secret only that it is there, and how long."""
    now, lines = file.values(), []
    for key in sorted(values):
        value = now.get(key)
        if value is None:
            continue
        lines.append(
            "%s=%s" % (key, "(hidden, %d characters%s)" % (len(value), mark) if key in secret else value)
        )
    return "".join(line + "\n" for line in lines)


def _undo(file: str, path: str, keys: str) -> Dict[str, Any]:
    return {
        "summary": "Set %s of %s to what it was, and start its services again." % (keys, path),
        "reversible": True,
        "role": "oncall.runbooks.service",
        "entry_point": "settings_undo",
        "args": {"file": file},
    }


def _keep(params: Params, values: Values, before: EnvFile) -> Preimage:
    minutes = params["for_minutes"]
    file = file_for(params["private_dir"], params["run"], params["path"])
    if os.path.exists(file):
        raise ConflictError(
            "keep what the settings were before",
            on=file,
            got="this run has changed this file already",
            next_step="start a new run",
        )
    kept = Preimage(
        file=file,
        run=params["run"],
        path=before.path,
        before={key: before.get(key) for key in values},
        made={key: digest_of(value) for key, value in values.items()},
        consumers=described(params["consumers"]),
        stop_timeout=params["stop_timeout"],
        timeout=params["timeout"],
        until=time.time() + minutes * 60 if minutes else None,
        environment={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )
    kept.save()
    if not minutes:
        return kept
    try:
        return arm(kept, params["scheduler"])
    except OncallError:
        kept.closed()
        raise


def _change(kept: Preimage, before: EnvFile, after: EnvFile, consumers: List[Any], values: Values) -> None:
    if after.text != before.text:
        after.replace(before)
    start_again(consumers, values, stop_timeout=kept.stop_timeout, timeout=kept.timeout)


def _put_back(kept: Preimage, exc: OncallError) -> None:
    """Undo what was half done; the error then says whether that worked."""
    try:
        take_back(kept.file)
        disarm(kept)
        exc.next_step = "everything was put back as it was. " + exc.next_step
    except OncallError as second:
        exc.changed, exc.undo = True, _undo(kept.file, kept.path, kept.keys)
        exc.next_step = "putting it back failed, too: %s" % second.message


def _schedule_of(kept: Preimage) -> Optional[Dict[str, Any]]:
    if kept.until is None:
        return None
    return dict(kept.scheduled, until=utc(kept.until), armed=is_armed(kept))


def undo_settings(params: Params, *, check_mode: bool) -> Dict[str, Any]:
    """Take back the change whose pre-image is in `params["file"]`; one that was taken back is fine."""
    done = take_back(params["file"], check_mode=check_mode)
    if done["changed"] and not check_mode:
        disarm(load(params["file"]))
    return {"changed": done["changed"], "prediction": {"summary": done["summary"], "data_loss": "none"}}


def pending_settings(params: Params) -> Dict[str, Any]:
    """Return the module's result: which changes are in place for a limited time."""
    return {"changed": False, "findings": pending_changes(params["private_dir"])}
