# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the live database is still the one it was: by looking at it, never by assuming."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Callable, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions

_WAIT = 10.0  # seconds to wait for a server that restarts


def patiently(connect: Callable[[], Any], seconds: float) -> Any:
    """Connect, trying again for `seconds` while the server restarts."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except OncallError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def live_mark(options: RestoreOptions, seconds: float = _WAIT) -> Optional[marks.MarkedDatabase]:
    """Return the live database as it is now, None when there is none; raises when nobody answers."""
    connection = patiently(options.login.connect, seconds)
    try:
        return marks.find(connection, options.database)
    finally:
        connection.close()


def is_of(found: Optional[marks.MarkedDatabase], run: str) -> bool:
    """Whether a run put this database in service: the switch writes its mark in the renames' transaction."""
    mark = found.mark if found else None
    return mark is not None and mark.role == "live" and mark.run == run


def proved(options: RestoreOptions, *, had_live: bool = True, undoing: bool = False) -> bool:
    """Return whether a look shows the live database as it was before this run; False when it cannot be seen.

    With `undoing` that is: still what the run put there.
    """
    try:
        found = live_mark(options, _WAIT)
    except (OncallError, pg.Error):
        return False
    if undoing:
        return is_of(found, options.run)
    return (found is not None) == had_live and not is_of(found, options.run)
