# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Queries of clients that run for long."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import rows
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import above
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import span

# A program that copies the database takes as long as that takes, and is somebody's backup.
DUMPS = ("pg_dump", "pg_dumpall", "pg_basebackup")
_TOP = 5
_COLUMNS = ("pid", "role", "database", "application", "seconds", "waits_for", "query")
_LONGEST = """
SELECT pid, usename, datname, application_name,
       extract(epoch FROM clock_timestamp() - query_start)::float, coalesce(wait_event_type, ''),
       left(query, 200)
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
  AND application_name NOT LIKE 'oncall-%'
ORDER BY 5 DESC LIMIT 20
"""


def measure_queries(session: Any, limits: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the finding on queries that run now, the longest first; a dump is told and is no failure."""
    found: List[Dict[str, Any]] = [dict(zip(_COLUMNS, row)) for row in rows(session, _LONGEST)]  # noqa: B905 - Python 3.8
    for one in found:
        one["query"], one["seconds"] = scrub(one["query"] or ""), round(one["seconds"] or 0.0, 1)
    dumps = [one for one in found if one["application"] in DUMPS]
    others = [one for one in found if one["application"] not in DUMPS]
    longest = others[0]["seconds"] if others else 0.0
    text = "%s, the longest for %s" % (_counted(len(found)), span(longest))
    if others and longest >= limits["query_warn"]:
        text += ": %(application)s (pid %(pid)d of %(role)s)" % others[0]
    if dumps:
        text += "; %(application)s makes a backup" % dumps[0]
    return finding(
        "postgres_queries",
        above(longest, limits["query_warn"], limits["query_fail"]),
        text + ".",
        observed={
            "running": len(found),
            "longest_s": longest,
            "longest": others[:_TOP],
            "dumps": dumps,
        },
        expected={"longest_s_below": limits["query_warn"]},
    )


def _counted(count: int) -> str:
    return "1 query runs" if count == 1 else "%d queries run" % count
