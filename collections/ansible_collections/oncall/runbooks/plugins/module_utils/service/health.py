# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's own health address: asked once by a probe, and waited for after a change."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.probes.http import Answer, Expectation, ask

HEALTH_SPEC: Dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "json": {"type": "dict"},
    "contains": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 3.0},
}


def ask_health(health: Mapping[str, Any]) -> Answer:
    """Ask the address of a `health` option (see HEALTH_SPEC) once."""
    expect = Expectation(tuple(health["status"]), health.get("json"), health.get("contains") or "")
    return ask(health["url"], timeout=health["timeout"], expect=expect)


def health_sentence(url: str, answer: Answer) -> str:
    """Return one sentence about an answer."""
    if not answer.reason:
        return "%s answers %d in %.0f ms." % (url, answer.status or 0, answer.seconds * 1000)
    said = ' It says "%s".' % answer.excerpt if answer.excerpt else ""
    return "%s: %s.%s" % (url, answer.problem.rstrip("."), said)


def health_predicate(health: Mapping[str, Any]) -> Callable[[], str]:
    """Return a function that says why the service is not healthy, an empty text when it is."""

    def unhealthy() -> str:
        answer = ask_health(health)
        return health_sentence(health["url"], answer) if answer.reason else ""

    return unhealthy
