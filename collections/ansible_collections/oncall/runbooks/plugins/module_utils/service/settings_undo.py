# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a change of settings back: by an operator, or on schedule as a program of its own."""

from __future__ import annotations

__metaclass__ = type

import os
import sys
import time
from typing import Any, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.consumers import (
    names_of,
    stale,
    start_again,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile
from ansible_collections.oncall.runbooks.plugins.module_utils.service.preimage import (
    OPEN,
    Preimage,
    digest_of,
    load,
    only_one,
)

# How often the waiting process looks at the clock, and whether the change is still open (seconds).
_TICK = 2.0
_ATTEMPTS, _PAUSE = 5, 30.0


def take_back(path: str, *, check_mode: bool = False) -> Dict[str, Any]:
    """Put back what the pre-image in `path` holds and start the consumers again; return what was done.

    Whoever comes second finds it done. Raises ConflictError when a value is no longer the one that the
    change had set: somebody wanted another since.
    """
    if not os.path.exists(path):
        load(path)
    with only_one(path):
        kept = load(path)
        if kept.state not in OPEN:
            return {"changed": False, "keys": kept.keys, "summary": "%s: taken back already" % kept.keys}
        before = EnvFile.read(kept.path)
        _still_ours(kept, before)
        after = before.changed(kept.before)
        consumers = stale(kept.consumers, kept.before)
        told = "%s of %s back to what was before, %s started again" % (
            kept.keys,
            kept.path,
            names_of(consumers),
        )
        if not check_mode:
            _do(kept, before, after, consumers)
        return {"changed": True, "keys": kept.keys, "summary": told}


def _do(kept: Preimage, before: EnvFile, after: EnvFile, consumers: List[Any]) -> None:
    try:
        if after.text != before.text:
            after.replace(before)
        start_again(consumers, kept.before, stop_timeout=kept.stop_timeout, timeout=kept.timeout)
    except OncallError as exc:
        exc.changed = after.text == EnvFile.read(kept.path).text
        kept.now(problem=exc.message)
        raise
    kept.closed()


def _still_ours(kept: Preimage, now: EnvFile) -> None:
    """What is there has to be what was set, or already what was before (an undo that was cut short)."""
    for key, old in kept.before.items():
        value = now.get(key)
        if digest_of(value) != kept.made[key] and value != old:
            raise ConflictError(
                "take back %s" % key,
                on=kept.path,
                got="somebody has set it to something else since",
                next_step="look at the file; what it was before is in %s" % kept.file,
            )


def main(argv: List[str]) -> int:
    """Run as a program: `<pre-image> now`, or `wait` until its time has come. Returns the exit code."""
    path, how = argv
    if how == "wait" and not _wait(path):
        return 0
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _say(take_back(path)["summary"])
            return 0
        except ConflictError as exc:
            _note(path, exc)
            return 1
        except OncallError as exc:
            _note(path, exc)
            if attempt < _ATTEMPTS:
                time.sleep(_PAUSE)
    return 1


def _wait(path: str) -> bool:
    """Wait for the time of the change; tell whether it is still open then."""
    while True:
        try:
            kept = load(path)
        except OncallError:
            # Its folder was removed: there is nothing left to take back from.
            return False
        left = (kept.until or 0) - time.time()
        if kept.state == "undone" or left <= 0:
            return kept.state != "undone"
        time.sleep(min(left, _TICK))


def _note(path: str, exc: OncallError) -> None:
    """An undo that failed at night has to be seen in the morning: by the next diagnosis."""
    _say(exc.message)
    try:
        with only_one(path):
            load(path).now(problem=exc.message)
    except (OncallError, OSError) as problem:
        _say(str(problem))


def _say(text: str) -> None:
    sys.stderr.write("%s %s\n" % (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text))
    sys.stderr.flush()
