# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take secrets out of text that was written by others (logs, error messages) before it is shown or stored."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Iterable

MASK = "********"
# Each keeps its first group and replaces the rest of the match.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)",
        r"(\bPASSWORD\s+)(?:E?'(?:[^']|'')*'?)",
        r"(\b(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|secret[_-]?key|access[_-]?key)"
        r"[\"']?\s*[=:]\s*)(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&]+)",
        r"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}",
        r"(\bX-Amz-(?:Signature|Credential|Security-Token)=)[^\s&]+",
        r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
    )
)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with the known `secrets`, and everything that looks like one, replaced by asterisks."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: match.group(1) + MASK, text)
    return text


_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def scrub_people(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` as `scrub` does, and without e-mail addresses: a service's words are about its users."""
    return _EMAIL.sub(MASK, scrub(text, secrets))
