# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many of a service's answers were errors of the server, counted in its own log."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Any, Dict, Iterable, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding

ANSWERS_SPEC: Dict[str, Any] = {
    "type": "dict",
    "options": {
        "pattern": {"type": "str", "required": True},
        "max_percent": {"type": "float", "default": 5.0},
        "at_least": {"type": "int", "default": 20},
    },
}


def measure_errors(lines: Iterable[str], rule: Mapping[str, Any], minutes: float) -> Dict[str, Any]:
    """Return the finding `service_errors`; `rule` has a pattern with the group `status`, and the limit.

    A few answers prove nothing: below `at_least` of them the share is told, and fails nobody.
    """
    pattern = _pattern(rule["pattern"])
    statuses = [found.group("status") for found in map(pattern.search, lines) if found]
    errors, total = sum(status.startswith("5") for status in statuses), len(statuses)
    percent = 100.0 * errors / total if total else 0.0
    bad = total >= rule["at_least"] and percent > rule["max_percent"]
    text = "%d of %d answers of the last %g min were errors of the server (%.0f %%, limit %g %%)." % (
        errors,
        total,
        minutes,
        percent,
        rule["max_percent"],
    )
    return finding(
        "service_errors",
        "fail" if bad else "ok",
        text,
        observed={"errors": errors, "answers": total, "percent": round(percent, 1)},
        expected={"percent_at_most": rule["max_percent"], "of_at_least": rule["at_least"]},
    )


def _pattern(text: str) -> "re.Pattern[str]":
    try:
        pattern = re.compile(text)
    except re.error as exc:
        raise UsageError(
            "use answers.pattern", on=text, got=str(exc), next_step="write a regular expression"
        ) from None
    if "status" not in pattern.groupindex:
        raise UsageError(
            "use answers.pattern",
            on=text,
            got="it has no group called status",
            next_step=r"name the part that is the status: (?P<status>\d{3})",
        )
    return pattern
