"""What a customer of the cleaning platform sees of the stand-in, and which state it has, without Ansible."""

from __future__ import annotations

import json
from typing import Any

from runbook.rehearsal import outside
from runbook.rehearsal.parts import services
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.stack import Stack

# The worker writes there all the time.
_WORKED_ON = ("public.jobs", "public.job_heartbeats", "public.job_runs", "public.locks")


def problem(stack: Stack) -> str:
    """Look at the next bookings and at the readiness by the public address; return what goes wrong."""
    url = stack.facts["public_url"]
    looked = fetch(f"{url}/v1/bookings/next", {})
    if looked.status != 200:
        return f"looking at bookings: {looked.status} {looked.body[:200].decode(errors='replace')}"
    ready = fetch(f"{url}/readyz", {})
    try:
        said = json.loads(ready.body)
    except ValueError:
        return f"/readyz answers {ready.status} without JSON"
    missing = [name for name in ("db_connected", "migrations_current") if said.get(name) is not True]
    return f"/readyz answers {ready.status}: {said}" if ready.status != 200 or missing else ""


def picture(stack: Stack) -> dict[str, Any]:
    """Take the state of the platform: the settings of its file, and the database without the worker's own."""
    file = services.read_settings(stack.facts)
    taken: dict[str, Any] = {f"setting {name}": value for name, value in file.items()}
    taken["mode of the settings"] = services.mode_of_settings(stack.facts)
    database = outside.digest_of(stack)
    for part in ("rows", "sequences"):
        of_others = {name: is_ for name, is_ in database[part].items() if not name.startswith(_WORKED_ON)}
        database[part] = of_others
    return taken | {f"database {part}": value for part, value in database.items()}
