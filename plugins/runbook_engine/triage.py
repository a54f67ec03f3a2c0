# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which runbooks the findings call for: a pure function of findings and the signals of all headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from runbook_engine.errors import UsageError
from runbook_engine.recommend import statuses

_MAX_EVIDENCE = 3
_WORD = re.compile(r"[a-z][a-z0-9_]*")


def triage(
    headers: Iterable[Mapping[str, Any]], severities: Mapping[str, str], findings: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the runbooks whose signals are seen, the most severe first, causes before what they explain.

    severities: what the system says of each runbook, where it is not the header's own. Each one returned has
    runbook, title, severity, signals (name, means, evidence: summaries of the findings) and `explained_by`:
    the runbooks in the list that may be its cause. Raises UsageError for a condition that is no JMESPath.
    """
    listed = list(headers)
    facts = {"findings": findings, "status": statuses(findings)}
    seen = {header["name"]: _seen(header, facts) for header in listed}
    called = [header for header in listed if seen[header["name"]]]
    return [
        {
            "runbook": header["name"],
            "title": header.get("title", header["name"]),
            "severity": _severity(header, severities),
            "signals": seen[header["name"]],
            "explained_by": [other["name"] for other in called if header["name"] in _explains(other)],
        }
        for header in _ordered(called, severities)
    ]


def _explains(header: Mapping[str, Any]) -> list[str]:
    return list(header.get("explains") or [])


def _severity(header: Mapping[str, Any], severities: Mapping[str, str]) -> str:
    return str(severities.get(header["name"]) or header.get("severity") or "")


def _ordered(called: list[Mapping[str, Any]], severities: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Sort: whatever may be the cause of something comes before it, also over others that were not seen."""
    left = sorted(called, key=lambda header: (_severity(header, severities), header["name"]))
    made: list[Mapping[str, Any]] = []
    while left:
        free = [h for h in left if not any(h["name"] in _explains(other) for other in left if other is not h)]
        # Headers that explain each other in a circle would leave none: then the most severe goes first.
        first = (free or left)[0]
        made.append(first)
        left.remove(first)
    return made


def _seen(header: Mapping[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The signals of a runbook that the findings show, each with its evidence."""
    found = []
    for signal in header.get("signals") or []:
        matched = _matched(header, signal, facts)
        if matched:
            evidence = _evidence(str(signal["when"]), matched, facts["findings"])
            found.append({"name": signal["name"], "means": signal["means"], "evidence": evidence})
    return found


def _matched(header: Mapping[str, Any], signal: Mapping[str, Any], facts: dict[str, Any]) -> Any:
    try:
        return jmespath.search(str(signal["when"]), facts)
    except JMESPathError as error:
        raise UsageError(
            f"signal {signal['name']} of the runbook {header['name']} is no JMESPath that fits: {error}",
            "correct the header of the runbook",
        ) from error


def _evidence(condition: str, matched: Any, findings: list[dict[str, Any]]) -> list[str]:
    """The summaries of what made a condition true: the findings that it returned, or those of its checks."""
    if isinstance(matched, list) and all(isinstance(one, dict) and "summary" in one for one in matched):
        shown = matched
    else:
        named = set(_WORD.findall(condition))
        shown = [one for one in findings if one["check"] in named and one["status"] == "fail"]
    return [str(one["summary"]) for one in shown[:_MAX_EVIDENCE]]
