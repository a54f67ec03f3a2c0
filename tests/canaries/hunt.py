"""Look for secrets byte by byte, in every form that a program may have given them: in files, in processes."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import secrets
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_POLL_S = 0.02


def canary(tail: str = "") -> str:
    """Return a new secret; `tail` is put behind it: characters that encoders change."""
    return f"canary-{secrets.token_hex(9)}{tail}"


def forms(secret: str) -> dict[str, bytes]:
    """Return `secret` in every form that is looked for, by the form's name."""
    raw = secret.encode()
    quoted = urllib.parse.quote(secret, safe="")
    found = {
        "as it is": raw,
        "URL-encoded": quoted.encode(),
        "URL-encoded, path": urllib.parse.quote(secret).encode(),
        "URL-encoded, form": urllib.parse.quote_plus(secret).encode(),
        "URL-encoded, small letters": _small_escapes(quoted).encode(),
        "JSON, escaped": json.dumps(secret)[1:-1].encode(),
        "JSON, Unicode": json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(secret))[3:-3].encode(),
        "hexadecimal": raw.hex().encode(),
        "backwards": raw[::-1],
    }
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            found[f"{name}, shifted by {shift}"] = _inner(encode(b"\0" * shift + raw), shift)
    return {name: form for name, form in found.items() if len(form) >= 12}


def _small_escapes(quoted: str) -> str:
    parts = quoted.split("%")
    return parts[0] + "".join(f"%{part[:2].lower()}{part[2:]}" for part in parts[1:])


def _inner(encoded: bytes, shift: int) -> bytes:
    """Without the characters that also depend on what stands before and after."""
    return encoded.rstrip(b"=")[(0, 2, 3)[shift] : -1]


@dataclass
class Hunt:
    """Known secrets, by a name for each, and what was found of them: `place: name (form)`."""

    known: Mapping[str, str]
    hits: set[str] = field(default_factory=set)
    looked_at: int = 0

    def __post_init__(self) -> None:
        self._forms = [
            (n, how, form) for n, secret in self.known.items() for how, form in forms(secret).items()
        ]

    def look(self, place: str, data: bytes, allowed: Iterable[str] = ()) -> None:
        """Look into bytes; compressed ones are also opened."""
        self.looked_at += 1
        self.hits |= {
            f"{place}: {n} ({how})" for n, how, form in self._forms if form in data and n not in allowed
        }
        if data.startswith(b"\x1f\x8b"):
            with contextlib.suppress(OSError, EOFError):
                self.look(f"{place}, opened", gzip.decompress(data), allowed)

    def look_below(self, *folders: Path) -> None:
        """Look into names and contents of all files below folders."""
        for folder in folders:
            for path in [folder, *_below(folder)]:
                self.look(f"name of {path}", path.name.encode())
                with contextlib.suppress(OSError):
                    if path.is_file():
                        self.look(str(path), path.read_bytes())


def _below(folder: Path) -> Iterator[Path]:
    """Yield what is below a folder; what others remove meanwhile is not there."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place) / name for name in (*folders, *files))


@contextlib.contextmanager
def watched(hunt: Hunt, environ: Iterable[str] = (), known_to: Iterable[str] = ()) -> Iterator[set[int]]:
    """Look into command line and environment of every process that is started meanwhile.

    environ: names of secrets that may be in environments; known_to: parts of command lines whose processes
    were given everything. Yields the set of processes seen.
    """
    before, seen, stop = set(_processes()), set(), threading.Event()
    words = [word.encode() for word in known_to]

    def run() -> None:
        while not stop.wait(_POLL_S):
            for pid in set(_processes()) - before:
                seen.add(pid)
                _look_at(hunt, pid, list(environ), words)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _look_at(hunt: Hunt, pid: int, environ: list[str], known_to: list[bytes]) -> None:
    folder = Path("/proc") / str(pid)
    with contextlib.suppress(OSError):
        line = (folder / "cmdline").read_bytes()
        name = line.replace(b"\0", b" ").decode(errors="replace")[:100]
        hunt.look(f"command line of {name}", line)
        if not any(word in line for word in known_to):
            hunt.look(f"environment of {name}", (folder / "environ").read_bytes(), environ)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]
