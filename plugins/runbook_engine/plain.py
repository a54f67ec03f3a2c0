# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of Ansible made plain: what the record stores, and how much of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

MAX_TEXT = 16_384
"""Characters of one text that the record keeps; the rest is named by its hash."""

MAX_DEPTH = 12


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as plain JSON types, long texts cut; whatever is no JSON type becomes its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return cut("".join(value))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {str(k): plain(v, depth + 1) for k, v in value.items()}
    if depth < MAX_DEPTH and isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
        return [plain(v, depth + 1) for v in value]
    return cut(str(value))


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """Return `text`, cut behind `limit` characters with the length and SHA-256 of the whole."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:limit]}\n… cut: {len(text)} characters in all, sha256 {digest}"


def canonical(value: Any) -> bytes:
    """Return the one JSON text of `value` that hashes are made of."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """Return `sha256:<hex>` of the canonical JSON of `value`."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()
