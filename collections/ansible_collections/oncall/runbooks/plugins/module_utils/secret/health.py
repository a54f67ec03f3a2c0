# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about a secret in a settings file: presence, length, readers, copies. Never its value."""

from __future__ import annotations

__metaclass__ = type

import os
import stat
from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.env_file import EnvFileDestination
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.private import kept_copies
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile


def measure(params: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Return the findings; a file that cannot be read is one of them."""
    place = EnvFileDestination(params["path"], params["key"])
    try:
        file = EnvFile.read(place.path)
    except OncallError as exc:
        return [finding("secret_stored", "fail", exc.message, observed={"reason": exc.kind})]
    value = file.values().get(place.key) or ""
    mode = stat.S_IMODE(os.stat(file.path).st_mode)
    return [
        _stored(place, file, len(value), mode, params["min_length"]),
        _copies(place, value, params["private_dir"]),
    ]


def _stored(
    place: EnvFileDestination, file: EnvFile, length: int, mode: int, shortest: int
) -> Dict[str, Any]:
    lines = file.count(place.key)
    observed = {"present": length > 0, "length": length, "lines": lines, "mode": "%04o" % mode}
    expected = {"length": shortest}
    status, said = "ok", "has %d characters" % length
    if lines > 1:
        status, said = "fail", "stands on %d lines, and programs disagree about which one counts" % lines
    elif length < shortest:
        status, said = "fail", "has %d characters, less than %d" % (length, shortest)
        said = said if length else "is not set"
    elif mode & stat.S_IROTH:
        status, said = "warn", "can be read by everybody on this host (mode %04o)" % mode
    return finding(
        "secret_stored", status, "%s %s." % (place.place, said), observed=observed, expected=expected
    )


def _copies(place: EnvFileDestination, value: str, private_dir: str) -> Dict[str, Any]:
    beside = place.copies(value) if value else []
    kept = [path for path in kept_copies(private_dir) if path.endswith("-" + place.key)]
    observed = {"beside": beside, "kept_for_undo": kept}
    if not beside and not kept:
        return finding("secret_copies", "ok", "No copy of %s is known." % place.key, observed=observed)
    parts = []
    if beside:
        parts.append("it stands also in %s" % ", ".join(beside))
    if kept:
        parts.append("the one from before is kept for an undo in %s" % ", ".join(kept))
    summary = "Of %s %s." % (place.key, " and ".join(parts))
    return finding("secret_copies", "warn", summary, observed=observed, expected={"beside": []})
