# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold what Stripe says against the database, once or until everybody is served. Reads only."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import NOT_SERVED, told, verdict
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.look import (
    looked,
    named,
    served_rows,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.session import session, transaction
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import Tables

_EVERY_S = 0.25


def look(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Answer what the option `stripe` asks: `people` who were named, or `judged` payments."""
    del check_mode  # it reads in either
    tables, asked = Tables.from_params(params), params["stripe"]
    with session(params) as connection:
        with transaction(connection, read_only=True):
            tables = tables.described(connection)
        if "payments" not in asked:
            with transaction(connection, read_only=True):
                people = named(connection, tables, asked["email"], asked["subscriber_id"])
            return {"changed": False, "people": people}
        judged = _until_served(
            lambda: _judged(connection, tables, asked["payments"]), asked.get("wait") or 0.0
        )
        with transaction(connection, read_only=True):
            ended = served_rows(connection, tables, asked.get("ended") or [])
        return {"changed": False, "judged": [told(j) for j in judged], "ended": ended}


def _judged(connection: Any, tables: Tables, payments: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    with transaction(connection, read_only=True):
        return [verdict(found, tables) for found in looked(connection, tables, [dict(p) for p in payments])]


def _until_served(
    measure: Callable[[], List[Dict[str, Any]]], wait: float, clock: Callable[[], float] = time.monotonic
) -> List[Dict[str, Any]]:
    """Measure until nobody is without service or `wait` seconds are over; return the last result."""
    deadline = clock() + wait
    judged = measure()
    while clock() < deadline and any(j["verdict"] in NOT_SERVED for j in judged):
        time.sleep(_EVERY_S)
        judged = measure()
    return judged
