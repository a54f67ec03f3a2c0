# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's own readiness address: whether what it stands on is there, read from the body of any answer."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.http import Answer, Expectation, ask
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import health_sentence

#: option of `fields` → the check that tells of it
FIELD_CHECKS = {"database": "database_connected", "migrations": "migrations_current"}
READY_CHECKS = ("service_ready", *FIELD_CHECKS.values())
READY_SPEC: Dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "timeout": {"type": "float", "default": 3.0},
    "database": {"type": "str", "default": "db_connected"},
    "migrations": {"type": "str", "default": "migrations_current"},
    "others": {"type": "list", "elements": "str", "default": []},
    "hints": {"type": "dict", "default": {}},
}


def measure_ready(ready: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """Yield whether the service says that it is ready, and what it says of its database and migrations.

    A status of 200 is not enough: every field has to be there and true. A field that the answer does not
    have, or that is neither true nor false, is not known.
    """
    answer = ask(ready["url"], timeout=ready["timeout"], expect=Expectation(tuple(ready["status"])))
    named = [ready[option] for option in FIELD_CHECKS if ready[option]]
    said = _said(answer.body, [*named, *ready["others"]])
    yield _ready(ready, answer, said)
    for option, check in FIELD_CHECKS.items():
        if ready[option]:
            yield _field(ready, check, ready[option], answer, said[ready[option]])


def checks_of(ready: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return the checks that `measure_ready` yields for these options."""
    return ("service_ready", *(check for option, check in FIELD_CHECKS.items() if ready[option]))


def _said(body: Any, fields: List[str]) -> Dict[str, Optional[bool]]:
    """What the body says of each field; None where it says neither true nor false."""
    given = body if isinstance(body, dict) else {}
    return {name: given[name] if isinstance(given.get(name), bool) else None for name in fields}


def _ready(ready: Mapping[str, Any], answer: Answer, said: Mapping[str, Optional[bool]]) -> Dict[str, Any]:
    wrong = [name for name, value in said.items() if value is False]
    unsaid = [name for name, value in said.items() if value is None]
    reason, text = answer.reason, health_sentence(ready["url"], answer)
    if not reason and (wrong or unsaid):
        reason = "body"
    if answer.status is not None and wrong:
        text = "%s answers %d and says: %s." % (
            ready["url"],
            answer.status,
            ", ".join("%s is false" % name for name in wrong),
        )
    elif reason == "body":
        text = "%s answers %d, but its body does not say %s: %s." % (
            ready["url"],
            answer.status or 0,
            " and ".join(unsaid),
            '"%s"' % answer.excerpt if answer.excerpt else "it is empty",
        )
    return finding(
        "service_ready",
        "fail" if reason else "ok",
        text,
        observed=dict(answer.as_dict(), reason=reason, url=ready["url"], fields=dict(said)),
        expected={"status": ready["status"], "fields": dict.fromkeys(said, True)},
    )


def _field(
    ready: Mapping[str, Any], check: str, field: str, answer: Answer, value: Optional[bool]
) -> Dict[str, Any]:
    status = {True: "ok", False: "fail", None: "unknown"}[value]
    if value is None:
        text = "whether %s is true is not known: %s does not say it." % (field, ready["url"])
    else:
        text = "%s says that %s is %s." % (ready["url"], field, "true" if value else "false")
    hint = ready["hints"].get(field, "")
    if value is False and hint:
        text += " Next: %s" % hint
    return finding(
        check,
        status,
        text,
        observed={"field": field, "value": value, "status": answer.status},
        expected={"value": True},
    )
