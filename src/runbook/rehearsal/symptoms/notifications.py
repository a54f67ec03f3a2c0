"""Messages to customers that their provider refuses, or that wait."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms.together import Action
from runbook.rehearsal.vendors.messages import PROVIDERS

_QUEUED = """
INSERT INTO public.jobs (kind, payload, idempotency_key, enqueued_at)
SELECT %s, '{}', %s || i, clock_timestamp() - make_interval(mins => %s) FROM generate_series(1, %s) i"""
_UNSENT = """
SELECT (SELECT count(*) FROM public.jobs WHERE done_at IS NULL AND kind = ANY(%s))
     + (SELECT count(*) FROM public.dead_letters WHERE replayed_at IS NULL AND kind = ANY(%s))"""
KINDS = ["receipt", "reminder", "login_code"]


def queue(kind: str, count: int, *, waiting_minutes: int = 0) -> Action:
    """Return what queues messages, as if they had waited for so long already."""

    def action(stack: Stack) -> None:
        name = f"{kind}-{uuid.uuid4().hex[:6]}-"
        values = (kind, name, waiting_minutes, count)
        stack.server().execute(_QUEUED, values, database=stack.database)
        # The worker looks ten times in a second.
        time.sleep(1)

    return action


def sent(stack: Stack) -> list[dict[str, Any]]:
    """Return what arrived: provider, key and kind of each message."""
    folder = Path(stack.facts["vendors"]["messages"]["folder"])
    found: list[dict[str, Any]] = json.loads((folder / "state.json").read_text())["sent"]
    return found


def sent_twice(stack: Stack) -> list[str]:
    """Return the keys of messages that arrived more than once, whoever sent them."""
    keys = [one["key"] for one in sent(stack)]
    return sorted({key for key in keys if keys.count(key) > 1})


def unsent(stack: Stack) -> int:
    """Return how many messages wait or have failed."""
    rows = stack.server().execute(_UNSENT, (KINDS, KINDS), database=stack.database)
    return int(rows[0][0])


def accounts(stack: Stack) -> str:
    """Read every provider's account page; return what goes wrong, "" for nothing."""
    facts = stack.facts["vendors"]["messages"]
    for provider in PROVIDERS:
        url = f"{facts['base_url']}/{provider}/account"
        said = fetch(url, {"Authorization": f"Bearer {facts['api_key']}"})
        if said.status != 200 or not said.body.startswith(b"{"):
            return f"the account page of {provider} answers {said.status} and no JSON object"
    return ""


def arrives(stack: Stack, kind: str, within_s: float = 4.0) -> str:
    """Queue a message and wait until its provider has it; return what goes wrong, "" for nothing."""
    key = "canary-" + uuid.uuid4().hex[:12]
    values = (kind, key, 0, 1)
    stack.server().execute(_QUEUED, values, database=stack.database)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if any(one["key"] == f"{key}1" for one in sent(stack)):
            return ""
        time.sleep(0.05)
    return f"a {kind} that was queued does not arrive within {within_s:g} s"
