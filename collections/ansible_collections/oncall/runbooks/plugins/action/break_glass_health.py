# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""See whether administrators may only read, and whether break-glass tokens are good. Reads only."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.access.calls import Call
from ansible_collections.oncall.runbooks.plugins.module_utils.access.client import Administration, sentence
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction

LOGIN, MODE, OPEN, WRITTEN = "admin_login", "admin_mode", "break_glass_open", "break_glass_written"


class ActionModule(ControllerAction):
    """`oncall.runbooks.break_glass_health`."""

    MODULE = "oncall.runbooks.break_glass_health"
    SECRETS = frozenset({"password"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the findings; whatever stands in the way of measuring is one of them."""
        checks = options["checks"]
        try:
            api = Administration(options)
            findings = measured(api.status())
            if WRITTEN in checks:
                findings.append(_written(api, options))
        except DeniedError as error:
            told = "The administrator's login is refused: %s" % error.message
            findings = [finding(LOGIN, "fail", told, observed=error.as_dict(), expected={"accepted": True})]
            findings += _unknown(error, MODE, OPEN, WRITTEN)
        except OncallError as error:
            findings = _unknown(error, LOGIN, MODE, OPEN, WRITTEN)
        findings = [found for found in findings if found["check"] in checks]
        for found in findings:
            found["host"] = str(task_vars.get("inventory_hostname", ""))
        return {"changed": False, "findings": findings}


def measured(status: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Judge what the administration said of itself."""
    if status["read_only"] is None:
        text = "The application has no call that tells its mode: see paths.status."
        return [finding(check, "unknown", text) for check in (LOGIN, MODE, OPEN)]
    login = finding(LOGIN, "ok", "The administrator's login is accepted.", expected={"accepted": True})
    return [login, _mode(status["read_only"]), _open(status["open"])]


def _written(api: Administration, options: Mapping[str, Any]) -> Dict[str, Any]:
    call = Call.chosen(options["calls"], options["call"])
    seen = {thing: call.seen(api, thing) for thing in options["objects"]}
    other = [call.line(thing, now).strip() for thing, now in seen.items() if not call.is_done(now)]
    observed: Dict[str, Any] = {"other": other, "count": len(seen)}
    expected: Dict[str, Any] = {"other": []}
    if other or not seen:
        text = "Not as %s makes it: %s." % (call.name, "; ".join(other) or "no object is named")
        return finding(WRITTEN, "fail", text, observed=observed, expected=expected)
    text = "%d objects are as %s makes them." % (len(seen), call.name)
    return finding(WRITTEN, "ok", text, observed=observed, expected=expected)


def _mode(read_only: bool) -> Dict[str, Any]:
    observed, expected = {"read_only": read_only}, {"read_only": False}
    if not read_only:
        return finding(MODE, "ok", "Administrators may write.", observed=observed, expected=expected)
    text = "Administrators may only read: somebody switched writes off, and writes need a break-glass token."
    return finding(MODE, "fail", text, observed=observed, expected=expected)


def _open(tokens: List[Dict[str, str]]) -> Dict[str, Any]:
    observed, expected = {"count": len(tokens), "tokens": tokens}, {"count": 0}
    if not tokens:
        return finding(OPEN, "ok", "No break-glass token is good.", observed=observed, expected=expected)
    text = "%d break-glass tokens are good: %s." % (len(tokens), sentence(tokens))
    return finding(OPEN, "fail", text, observed=observed, expected=expected)


def _unknown(error: OncallError, *checks: str) -> List[Dict[str, Any]]:
    told = "Not measured: %s" % error.message
    return [finding(check, "unknown", told, observed={"error": error.as_dict()}) for check in checks]
