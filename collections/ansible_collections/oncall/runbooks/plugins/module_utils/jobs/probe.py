# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A test message, queued as the application queues its own: a worker has to take it and get it done."""

from __future__ import annotations

__metaclass__ = type

import json
import time
import uuid
from contextlib import closing
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import server_error, write_session
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.tables import DeadLetters, Queue, joined

_WHAT = "have a test message worked on"
_PAUSE_S = 0.2
_QUEUE = """
INSERT INTO {queue} ({queue.kind}, {queue.payload}, {queue.key}, {queue.enqueued_at})
VALUES ({sort}, {says}, {name}, clock_timestamp())
"""
_STATE = """
SELECT (SELECT {queue.done_at} IS NOT NULL FROM {queue} WHERE {queue.key} = {name}),
       (SELECT {dead.error}::text FROM {dead} WHERE {dead.key} = {name} LIMIT 1)
"""


def probe(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Queue the message and wait until it is done; raises VerificationError when it is not."""
    dead, queue = DeadLetters.from_option(params["dead_letters"]), Queue.from_option(params["queue"])
    if dead is None or queue is None:
        raise UsageError(_WHAT, got="dead_letters or queue is not given", next_step="name both tables")
    _require_json(params["payload"])
    if check_mode:
        return {"changed": False, "seconds": None}
    name = "oncall-probe-" + uuid.uuid4().hex
    login = pg.Login.from_params(params, "oncall-job-probe")
    began = time.monotonic()
    wait_ms = params["timeout"] * 1000
    with closing(
        write_session(login, params["database"], wait_ms, what=_WHAT, wait_for_disk=True)
    ) as session:
        try:
            queued = {"sort": params["kind"], "says": params["payload"], "name": name}
            pg.rows(session, joined(_QUEUE, dead, queue, **queued))
            while True:
                done, error = pg.rows(session, joined(_STATE, dead, queue, name=name))[0]
                if done:
                    return {"changed": False, "seconds": round(time.monotonic() - began, 3)}
                _go_on(params, error, time.monotonic() - began)
                time.sleep(_PAUSE_S)
        except pg.Error as error:
            raise server_error(error, _WHAT, queue.place, "") from None


def _go_on(params: Mapping[str, Any], error: Any, waited: float) -> None:
    """Raise when there is no use in waiting any longer."""
    if error is None and waited < params["within_s"]:
        return
    got = "it became a dead letter: %s" % error if error else "it still waits after %d s" % waited
    step = "see the worker's log, and what the provider of this kind says of itself"
    raise VerificationError(_WHAT, on="kind %s" % params["kind"], got=got, next_step=step, kind="not_done")


def _require_json(payload: str) -> None:
    try:
        json.loads(payload)
    except ValueError as error:
        got = "it is no JSON: %s" % error
        raise UsageError("use the option payload", got=got, next_step="correct it") from None


def probe_spec() -> Dict[str, Any]:
    """Return the options of a probe."""
    return {
        "kind": {"type": "str", "required": True},
        "payload": {"type": "str", "default": "{}"},
        "within_s": {"type": "float", "default": 30},
    }
