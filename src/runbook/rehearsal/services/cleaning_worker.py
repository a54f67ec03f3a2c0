"""worker of the cleaning platform: takes the scheduler's lock, says that its jobs run, works on the queue.

What a job has to send goes to the provider that the settings name; a refusal makes it a dead letter.
Its owner's name in the lock is the name of the session that it keeps open as long as it lives. A fault
{"stuck": true} makes it keep the lock and do nothing, {"fails": text} makes every message a dead letter,
{"no_backup": true} makes its backup job fail. That job only reports here: what it uploads is there already.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
import time
from urllib.parse import urlsplit

from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.services.postgres_client import DatabaseError, Session
from runbook.rehearsal.services.web import Service

_PAUSE_S = 0.1
_LATE_S = 5.0
_LAST_ROUND_S = 2.0
_CHANNELS = {"receipt": "email", "reminder": "email", "login_code": "sms"}
_LOCK = """
UPDATE public.locks SET owner = $1, beat_at = clock_timestamp()
WHERE name = 'scheduler' AND (owner IS NULL OR owner = $1) RETURNING owner"""
_LET_GO = "UPDATE public.locks SET owner = NULL WHERE owner = $1"
_BEAT = "UPDATE public.job_heartbeats SET beat_at = clock_timestamp() WHERE job <> 'backup'"
_BACKUP = """
UPDATE public.job_heartbeats SET beat_at = clock_timestamp() WHERE job = 'backup'
AND EXISTS (SELECT 1 FROM public.locks WHERE name = 'backup' AND owner IS NULL)"""
_TAKE = """
UPDATE public.jobs SET taken_at = clock_timestamp() WHERE id = (
  SELECT id FROM public.jobs WHERE done_at IS NULL AND NOT kind = ANY(string_to_array($1, ','))
  ORDER BY enqueued_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, payload, idempotency_key"""
_DONE = """
WITH ran AS (INSERT INTO public.job_runs (idempotency_key) VALUES ($2))
UPDATE public.jobs SET done_at = clock_timestamp() WHERE id = $1::bigint"""
_DEAD = """
WITH gone AS (DELETE FROM public.jobs WHERE id = $1::bigint RETURNING kind, payload, idempotency_key)
INSERT INTO public.dead_letters (kind, payload, idempotency_key, error)
SELECT kind, payload, idempotency_key, $2 FROM gone"""


class CleaningWorker(Service):
    """The scheduler and the one worker."""

    name = "worker"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.owner = f"cleaning-worker-{os.getpid()}"
        self._url = urlsplit(self.env.get("DATABASE_URL", ""))
        self._last = time.monotonic()
        self._waits = ""
        self._turn = threading.Lock()

    def end(self) -> None:
        """Let go of the lock, so that the next one may begin at once; not when it is stuck."""
        if not self.fault.get("stuck"):
            # Not given back: a round that began now would take the scheduler's lock again.
            self._turn.acquire(timeout=_LAST_ROUND_S)
            with contextlib.closing(Session(self._url, self.owner)) as session:
                session.query(_LET_GO, self.owner)

    def check(self) -> None:
        """Raise when it has done nothing for a while."""
        if time.monotonic() - self._last > _LATE_S:
            raise RuntimeError(self._waits or "no round of the scheduler has ended")

    def work(self) -> None:
        """Do what there is, for ever; what goes wrong is logged once and tried again."""
        while True:
            try:
                self._session()
            except (DatabaseError, OSError) as error:
                self._say(str(error))
                time.sleep(_PAUSE_S)

    def _session(self) -> None:
        session = Session(self._url, self.owner)
        with contextlib.closing(session):
            while True:
                with self._turn:
                    self._round(session)
                time.sleep(_PAUSE_S)

    def _round(self, session: Session) -> None:
        if self.fault.get("stuck"):
            session.query(_LOCK, self.owner)
            return
        if not session.query(_LOCK, self.owner):
            self._say("waiting for the scheduler lock")
            return
        session.query(_BEAT)
        if not self.fault.get("no_backup"):
            session.query(_BACKUP)
        paused = ",".join(_CHANNELS) if self.env.get("NOTIFICATIONS_PAUSED") == "true" else ""
        while taken := session.query(_TAKE, paused):
            number, kind, _payload, key = taken[0]
            wrong = self.fault.get("fails") or self._send(str(kind), str(key))
            session.query(*((_DEAD, number, wrong) if wrong else (_DONE, number, key)))
        self._last, self._waits = time.monotonic(), ""

    def _send(self, kind: str, key: str) -> str:
        """Send what a job of this kind has to send; return what went wrong, "" for nothing."""
        channel, url = _CHANNELS.get(kind), self.env.get("MESSAGES_URL")
        if not channel or not url:
            return ""
        provider = f"{channel}-{self.env.get(f'{channel.upper()}_PROVIDER') or 'primary'}"
        headers = {"Authorization": f"Bearer {self.env.get('MESSAGES_KEY', '')}", "Idempotency-Key": key}
        body = json.dumps({"to": "somebody@example.org", "kind": kind}).encode()
        said = fetch(f"{url}/{provider}/messages", headers, method="POST", body=body)
        time.sleep(1 / float(self.env.get("NOTIFICATIONS_RATE") or 1000))
        return "" if said.status == 202 else f"{provider}: {said.status}"

    def _say(self, what: str) -> None:
        if what != self._waits:
            self.log("WARNING", what)
        self._waits = what


def run(options: argparse.Namespace) -> None:
    """Work, and answer how it is."""
    worker = CleaningWorker(options)
    threading.Thread(target=worker.work, daemon=True).start()
    worker.serve()
