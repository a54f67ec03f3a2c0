# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run ids: they sort by time, are safe as a file name and are never given twice."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_RUN_ID = re.compile(r"\d{8}t\d{6}z-[0-9a-f]{6}")


def new_run_id(now: datetime | None = None) -> str:
    """Return a new id such as `20261121t064300z-7f3a9c`; `now` is a time with a zone (default: now)."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"


def is_run_id(text: str) -> bool:
    """Whether `text` has the form of a run id (a file of that name may or may not exist)."""
    return _RUN_ID.fullmatch(text) is not None


def id_time(text: str) -> datetime:
    """Return when an id was made, to the second; raise ValueError when `text` is no id."""
    if not is_run_id(text):
        raise ValueError(f"{text!r} is no run id")
    return datetime.strptime(text[:16], "%Y%m%dt%H%M%Sz").replace(tzinfo=UTC)


def timestamp(now: datetime | None = None) -> str:
    """Return a time as the record writes it: UTC, microseconds, `2026-11-21T06:43:00.123456Z`."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def parse_timestamp(text: str) -> datetime:
    """Return the time that `timestamp` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
