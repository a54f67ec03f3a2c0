# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of an old secret from which a rotation is taken back: on its own host, private, not for long."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError

_PREFIX = "secret-"


@dataclass(frozen=True)
class PrivateCopy:
    """One file, readable for its owner only, in the run's folder below `root`."""

    root: str
    run: str
    name: str

    @property
    def path(self) -> str:
        """Where it is."""
        for part in (self.run, self.name):
            if not re.match(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z", part):
                got = "%r is no name" % part[:80]
                raise UsageError("name the private copy", got=got, next_step="set run to the id of a run")
        return os.path.join(self.root, self.run, _PREFIX + self.name)

    def write(self, old: str, new: str) -> None:
        """Keep `old`, and by which mark `new` is known again; raises OncallError when it cannot."""
        content = json.dumps({"old": old, "new_sha256": digest(new)})
        self._make_room(old)
        try:
            for folder in (self.root, os.path.dirname(self.path)):
                os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="utf-8") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as exc:
            raise OncallError(
                "keep the old secret for an undo",
                on=self.path,
                got=str(exc.strerror),
                next_step="set private_dir to a folder of this user with room",
            ) from None

    def _make_room(self, old: str) -> None:
        """Take away what an attempt of the same run left that had changed nothing yet."""
        if not self.exists():
            return
        if self._kept()["old"] != old:
            raise UsageError(
                "keep the old secret for an undo",
                on=self.path,
                got="this run has exchanged the secret already, and keeps the one from before that",
                next_step="take it back, or release it, before it is exchanged again",
                kind="conflict",
            )
        self.remove()

    def _kept(self) -> Dict[str, str]:
        try:
            with open(self.path, encoding="utf-8") as handle:
                kept: Dict[str, str] = json.load(handle)
                return kept
        except FileNotFoundError:
            next_step = "rotate again; what is in place now stays good"
            got = "the old secret is not kept (any more)"
            raise UsageError("take the rotation back", on=self.path, got=got, next_step=next_step) from None
        except (OSError, ValueError) as exc:
            got = type(exc).__name__
            raise OncallError(
                "read the private copy", on=self.path, got=got, next_step="become its owner, or delete it"
            ) from None

    def old(self, new: str) -> str:
        """Return the old secret; raises OncallError when it is gone, or `new` is not what replaced it."""
        kept = self._kept()
        if kept["new_sha256"] != digest(new):
            raise UsageError(
                "take the rotation back",
                on=self.path,
                got="the secret was changed again since that run; nothing was changed now",
                next_step="take the later run back first",
                kind="conflict",
            )
        return str(kept["old"])

    def exists(self) -> bool:
        """Whether there is a copy."""
        return os.path.lexists(self.path)

    def remove(self) -> bool:
        """Delete the copy, and the run's folder when it is empty; returns whether there was one."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return False
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self.path))
        return True


def kept_copies(root: str) -> List[str]:
    """Return the paths of every private copy below `root`."""
    found: List[str] = []
    with contextlib.suppress(OSError):
        for run in sorted(os.listdir(root)):
            with contextlib.suppress(OSError):
                folder = os.path.join(root, run)
                found += [
                    os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.startswith(_PREFIX)
                ]
    return found


def digest(value: Optional[str]) -> str:
    """Return by what a long random secret is known again."""
    return hashlib.sha256((value or "").encode()).hexdigest()
