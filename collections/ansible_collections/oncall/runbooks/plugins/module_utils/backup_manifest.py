# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checksums that were stored with a backup: which files may hold one, and a strict reading of them."""

from __future__ import annotations

__metaclass__ = type

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

# Nobody writes a longer list of checksums; something else of that name is not read into memory.
LIMIT = 1_000_000  # bytes

_HEX_LENGTH = {"sha256": 64, "md5": 32}
_GNU = re.compile(r"\\?([0-9A-Fa-f]+)(?: [ *](.+))?")
_BSD = re.compile(r"(SHA256|MD5) \((.+)\) = ([0-9A-Fa-f]+)")


class ManifestError(ValueError):
    """A file of checksums that cannot be read without guessing; the message says why."""


@dataclass(frozen=True)
class Checksum:
    """What an object has to be: `value` is lower-case hex, `size` in bytes where stated, `source` a key."""

    algorithm: str
    value: str
    source: str
    size: Optional[int] = None


def manifest_keys(key: str) -> List[Tuple[str, str]]:
    """Return the keys that may hold the checksum of `key`, the best first, each with its algorithm."""
    folder = key[: key.rfind("/") + 1]
    return [
        (key + ".sha256", "sha256"),
        (key + ".sha256sum", "sha256"),
        (folder + "SHA256SUMS", "sha256"),
        (folder + "manifest.json", "sha256"),
        (key + ".md5", "md5"),
        (key + ".md5sum", "md5"),
        (folder + "MD5SUMS", "md5"),
    ]


def read_manifest(content: bytes, source: str, algorithm: str, key: str) -> Optional[Checksum]:
    """Return the checksum that the file `source` states for `key`; None when it does not name it."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError("%s is not text" % source) from error
    if source.endswith("manifest.json"):
        return _read_json(text, source, key)
    return _read_sums(text, source, algorithm, key)


def from_metadata(metadata: Mapping[str, str], checksums: Mapping[str, str], key: str) -> Optional[Checksum]:
    """Return the SHA-256 that the uploader or the store recorded with the object itself."""
    stated = metadata.get("sha256", "")
    if re.fullmatch(r"[0-9A-Fa-f]{64}", stated):
        return Checksum("sha256", stated.lower(), "metadata of " + key)
    digest = base64.b64decode(checksums.get("sha256", "")).hex()
    return Checksum("sha256", digest, "checksum of the store for " + key) if len(digest) == 64 else None


def _read_sums(text: str, source: str, algorithm: str, key: str) -> Optional[Checksum]:
    alone = not source.endswith("SUMS")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or (alone and len(lines) > 1):
        raise ManifestError(
            "%s has %d lines of checksums, expected %s" % (source, len(lines), "1" if alone else "1 or more")
        )
    values = set()
    for line in lines:
        value, name = _read_line(line, source, algorithm)
        if _names(name, key) if name else alone:
            values.add(value.lower())
        elif alone:
            raise ManifestError("%s states the checksum of %s, not of %s" % (source, name, key))
    if len(values) > 1:
        raise ManifestError("%s states more than one checksum for %s" % (source, key))
    return Checksum(algorithm, values.pop(), source) if values else None


def _read_line(line: str, source: str, algorithm: str) -> Tuple[str, str]:
    bsd, gnu = _BSD.fullmatch(line), _GNU.fullmatch(line)
    value, name = ("", "")
    if bsd and bsd.group(1).lower() == algorithm:
        name, value = bsd.group(2), bsd.group(3)
    elif gnu:
        value, name = gnu.group(1), gnu.group(2) or ""
    if len(value) != _HEX_LENGTH[algorithm]:
        raise ManifestError("%s has a line that is no %s checksum: %.80r" % (source, algorithm, line))
    return value, name


def _names(name: str, key: str) -> bool:
    """Tell whether the path `name` in a list of checksums means `key`."""
    path = name[2:] if name.startswith("./") else name
    return key == path or key.endswith("/" + path) or path.endswith("/" + key.rpartition("/")[2])


def _read_json(text: str, source: str, key: str) -> Optional[Checksum]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ManifestError("%s is not JSON (%s)" % (source, error)) from error
    entry = _json_entries(document).get(key) or _json_entries(document).get(key.rpartition("/")[2])
    if entry is None:
        return None
    value, size = entry.get("sha256"), entry.get("size")
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise ManifestError("%s has no valid sha256 for %s" % (source, key))
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise ManifestError("%s has a size for %s that is no number" % (source, key))
    return Checksum("sha256", value.lower(), source, size)


def _json_entries(document: Any) -> Dict[str, Any]:
    """Return the entries of a manifest by the name they are for.

    Read are `{"files": {name: entry}}`, `{"files": [entry]}` and one entry alone, where an entry has
    `name` (or `key`), `sha256` and perhaps `size`.
    """
    files = document.get("files", [document]) if isinstance(document, dict) else document
    if isinstance(files, dict):
        return {name: entry for name, entry in files.items() if isinstance(entry, dict)}
    entries = [entry for entry in files if isinstance(entry, dict)] if isinstance(files, list) else []
    return {str(entry.get("name", entry.get("key", ""))): entry for entry in entries}
