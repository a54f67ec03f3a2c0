# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renew a lock on the target, and tidy up there, with a small program on standard input: no module to send.

A module call costs a good deal of processor time on both sides, every few seconds, on a host that is in
trouble already. The program is made of the collection's own sources, so both ways obey the same rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_MARK = "oncall-lease:"
_MODULES = """
import json, sys, types
for name, text in json.loads(%(sources)r):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
"""
_SWEEP = """
found = sys.modules[%(last)r].end(*json.loads(%(request)r))
print(%(mark)r + json.dumps(found))
"""
_PROGRAM = """
errors, protocol = sys.modules[%(errors)r], sys.modules[%(protocol)r]
state, options = json.loads(%(request)r)
try:
    answer = protocol.LockProtocol(protocol.open_store(options)).perform(state, options)
except errors.OncallError as error:
    answer = {"error": error.as_dict()}
print(%(mark)r + json.dumps(answer))
"""


def program(modules: Sequence[ModuleType], state: str, options: Mapping[str, Any]) -> bytes:
    """Return the program that brings the lock to `state`.

    `modules` are the collection's modules in the order of their imports: errors first, the protocol last.
    """
    filled = _PROGRAM % {
        "errors": modules[0].__name__,
        "protocol": modules[-1].__name__,
        "request": json.dumps([state, dict(options)]),
        "mark": _MARK,
    }
    return (_loaded(modules) + filled).encode()


def sweeper(modules: Sequence[ModuleType], run: str, grace: float) -> bytes:
    """Return the program that ends the processes of `run` on the host; the last of `modules` knows how."""
    request = json.dumps([run, "", grace])
    filled = _SWEEP % {"last": modules[-1].__name__, "request": request, "mark": _MARK}
    return (_loaded(modules) + filled).encode()


def _loaded(modules: Sequence[ModuleType]) -> str:
    sources = [(m.__name__, Path(str(m.__file__)).read_text("utf-8")) for m in modules]
    return _MODULES % {"sources": json.dumps(sources)}


def answer(stdout: str, stderr: str) -> dict[str, Any]:
    """Return what the program answered; OSError when it did not come to an answer."""
    for line in reversed(stdout.splitlines()):
        if line.startswith(_MARK):
            told: dict[str, Any] = json.loads(line[len(_MARK) :])
            return told
    raise OSError("the host gave no answer: " + ((stderr or stdout).strip()[-300:] or "no output"))
