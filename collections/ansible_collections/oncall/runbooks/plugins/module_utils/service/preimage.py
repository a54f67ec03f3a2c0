# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What settings were before a change: kept on the target in a private file, from which it is taken back."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, Iterator, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
)

_PATTERN = "settings-*.json"
#: states of a change: armed = its undo is scheduled, set = it is not, undone = taken back
OPEN = ("armed", "set")


def digest_of(value: Optional[str]) -> Optional[str]:
    """Return what tells a value from another without telling it; None for a key that is not set."""
    return None if value is None else hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class Preimage:
    """One change of settings: `before` has the old values (None = was not set), `made` digests of the new.

    `consumers` are entries of the option `services`; `until` is the Unix time of the scheduled undo, None
    when there is none; `scheduled` says who does it; `environment` is what its programs need to be found.
    """

    file: str
    run: str
    path: str
    before: Dict[str, Optional[str]]
    made: Dict[str, Optional[str]]
    consumers: List[Dict[str, Any]]
    stop_timeout: float
    timeout: float
    until: Optional[float] = None
    state: str = "set"
    scheduled: Dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    environment: Dict[str, str] = field(default_factory=dict)

    def save(self) -> None:
        """Write it durably, readable by its owner only; raises OncallError."""
        folder = os.path.dirname(self.file)
        try:
            for level in (os.path.dirname(folder), folder):
                # The mode of makedirs is for the last level only.
                os.makedirs(level, mode=0o700, exist_ok=True)
            descriptor, beside = tempfile.mkstemp(prefix=".settings.", dir=folder)
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                json.dump(asdict(self), handle)
                handle.flush()
                os.fsync(handle.fileno())
            os.rename(beside, self.file)
        except OSError as exc:
            raise OncallError(
                "keep what the settings were before",
                on=self.file,
                got=str(exc),
                next_step="set private_dir to a folder on a file system with room, and become root",
                kind="not_written",
            ) from None

    def now(self, **changed: Any) -> Preimage:
        """Save and return it with other values."""
        new = replace(self, **changed)
        new.save()
        return new

    def closed(self) -> Preimage:
        """Note that nothing is left to take back; old secrets need not lie around any longer."""
        return self.now(state="undone", problem="", before={})

    @property
    def keys(self) -> str:
        """Names of the settings, for a sentence."""
        return ", ".join(sorted(self.made))


def load(path: str) -> Preimage:
    """Return the pre-image in a file; raises UsageError when there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return Preimage(**json.load(handle))
    except PermissionError as exc:
        raise DeniedError(
            "read what the settings were before", got=str(exc), next_step="become root on this host"
        ) from None
    except (OSError, ValueError, TypeError) as exc:
        raise UsageError(
            "read what the settings were before",
            on=path,
            got=str(exc),
            next_step="look at the settings file, and set by hand what they were",
        ) from None


def open_changes(private_dir: str, path: str = "") -> List[Preimage]:
    """Return the changes that nobody took back yet, of one settings file or of all."""
    found = []
    for name in sorted(glob.glob(os.path.join(glob.escape(private_dir), "*", _PATTERN))):
        with contextlib.suppress(UsageError):
            kept = load(name)
            if kept.state in OPEN and (not path or kept.path == os.path.realpath(path)):
                found.append(kept)
    return found


def file_for(private_dir: str, run: str, path: str) -> str:
    """Return where the pre-image of a change of `path` by `run` is kept."""
    mark = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:8]
    return os.path.join(private_dir, run, "settings-%s.json" % mark)


@contextlib.contextmanager
def only_one(path: str) -> Iterator[None]:
    """Hold the lock of a pre-image: the scheduled undo and an operator may come at the same moment."""
    with open(path + ".lock", "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
