# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the GDPR asks for after a breach of personal data: two duties, their clocks, their drafts.

Article 33: the supervisory authority, within 72 hours of becoming aware. Article 34: the people concerned,
without undue delay, where the risk for them is high.
"""

from __future__ import annotations

__metaclass__ = type

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import parse_time
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding, worst

OPEN = "TO CONFIRM:"
#: hours left from which the authority's clock is `fail` instead of `warn`
_URGENT_HOURS = 24.0


def duties(params: Mapping[str, Any], *, now: Optional[datetime] = None) -> Dict[str, Any]:
    """Return the module's result for the options of breach_duties; nothing is ever changed."""
    clock = now or datetime.now(timezone.utc)
    aware = parse_time(params["aware_at"], option="aware_at")
    if aware > clock + timedelta(minutes=5):
        raise OncallError(
            "start the clocks of the breach",
            on="aware_at %s" % aware.isoformat(),
            got="it lies in the future (it is %s here)" % clock.isoformat(timespec="seconds"),
            next_step="set aware_at to when somebody first knew, or correct this machine's clock",
            kind="usage",
        )
    due = aware + timedelta(hours=params["authority_hours"])
    findings = [_authority(params, aware, due, clock), _people(params, aware, clock)]
    clocks = {"aware_at": _iso(aware), "authority_due_at": _iso(due)}
    return {"changed": False, "findings": findings, "status": worst(findings), "clocks": clocks}


def _authority(params: Mapping[str, Any], aware: datetime, due: datetime, now: datetime) -> Dict[str, Any]:
    left = (due - now).total_seconds() / 3600
    unready = open_points(params["authority_draft"])
    observed = {"aware_at": _iso(aware), "due_at": _iso(due), "hours_left": round(left, 1), "open": unready}
    who = params["authority"] or "the supervisory authority"
    if left < 0:
        text = "%s had to be told by %s: tell it now, and give the reasons for the delay" % (who, _iso(due))
    else:
        text = "Tell %s by %s (%.0f h left); %s" % (who, _iso(due), left, _readiness(unready))
    status = "fail" if left < _URGENT_HOURS else "warn"
    return finding("duty_authority", status, text, observed=observed, expected={"due_at": _iso(due)})


def _people(params: Mapping[str, Any], aware: datetime, now: datetime) -> Dict[str, Any]:
    unready = open_points(params["subscribers_draft"])
    since = (now - aware).total_seconds() / 3600
    observed = {
        "aware_at": _iso(aware),
        "hours_since": round(since, 1),
        "subscribers": params["subscribers"],
        "open": unready,
    }
    if params["subscribers"] == 0:
        return finding(
            "duty_subscribers", "ok", "Nobody's data was touched as far as is known", observed=observed
        )
    whom = "every subscriber" if params["subscribers"] is None else "%d subscribers" % params["subscribers"]
    text = "If the risk for them is high, tell %s without undue delay (%.0f h so far); %s" % (
        whom,
        since,
        _readiness(unready),
    )
    return finding("duty_subscribers", "warn", text, observed=observed)


def open_points(draft: str) -> Optional[List[str]]:
    """Return what a draft still leaves open, None when there is no draft."""
    path = Path(draft) if draft else None
    if path is None or not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.partition(OPEN)[2].strip(" *") for line in lines if OPEN in line]


def _readiness(unready: Optional[List[str]]) -> str:
    if unready is None:
        return "no draft was made yet: mitigation draft-notices makes it"
    return (
        "the draft leaves %d points open" % len(unready)
        if unready
        else "the draft is ready to be read and sent"
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")
