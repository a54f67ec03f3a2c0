# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure on the controller whether there is a backup that can be restored. Reads only."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import (
    Found,
    find_backup,
    summary_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_findings import (
    candidates_of,
    findings_of,
    findings_of_failure,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import Rules
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source import describe
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import TruncatedError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog, S3Settings
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction


class ActionModule(ControllerAction):
    """`oncall.runbooks.backup_health`."""

    MODULE = "oncall.runbooks.backup_health"
    SECRETS = frozenset({"access_key", "secret_key", "session_token"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the findings; whatever stands in the way of measuring is one of them."""
        try:
            result = _measured(options)
        except OncallError as error:
            result = {"findings": findings_of_failure(error), "backup": {}, "candidates": []}
        wanted = options["checks"]
        result["findings"] = [f for f in result["findings"] if not wanted or f["check"] in wanted]
        for found in result["findings"]:
            found["host"] = str(task_vars.get("inventory_hostname", ""))
        return {"changed": False, **result}


def _measured(options: Mapping[str, Any]) -> Dict[str, Any]:
    rules = Rules.from_options(options)
    found: Found = find_backup(S3Catalog(S3Settings.from_options(options)), rules)
    backup, warnings = summary_of(found), list(found.all_warnings)
    if backup:
        backup["dump"] = _dump(found.head, warnings)
    result: Dict[str, Any] = {
        "findings": findings_of(found, options["max_age_hours"]),
        "backup": backup,
        "candidates": candidates_of(found),
    }
    if warnings:
        result["warnings"] = warnings
    return result


def _dump(head: bytes, warnings: List[str]) -> Dict[str, Any]:
    """Return what the beginning of the backup says of its origin; empty when that is not in its head."""
    try:
        return describe(head).as_dict()
    except TruncatedError:
        return {}  # a long table of contents goes on behind the head
    except OncallError as error:
        warnings.append(error.message)
        return {}
