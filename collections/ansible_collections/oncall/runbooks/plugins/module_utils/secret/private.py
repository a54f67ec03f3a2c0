# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of an old secret from which a rotation is taken back: on its own host, private, not for long.

Until the new secret is proved, the same file marks the attempt: whoever rotates next knows by it that what is
in place is nothing to go back to, and what is.
"""

from __future__ import annotations

__metaclass__ = type

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, Iterator, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError

_PREFIX = "secret-"


@dataclass(frozen=True)
class Kept:
    """What a file says: the secret from before ("" and `why` it is not kept), and the mark of the new one.

    place: what the secret is, for messages. proved: the services were seen to take the new one.
    settled_by: the run that brought an attempt to its end.
    """

    old: str = ""
    why: str = ""
    new_sha256: str = ""
    place: str = ""
    proved: bool = True
    settled_by: str = ""


@dataclass(frozen=True)
class PrivateCopy:
    """One file, readable for its owner only, in the run's folder below `root`; `place`: of which secret."""

    root: str
    run: str
    name: str
    place: str = ""

    @property
    def path(self) -> str:
        """Where it is."""
        for part in (self.run, self.name):
            if not re.match(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z", part):
                got = "%r is no name" % part[:80]
                raise UsageError("name the private copy", got=got, next_step="set run to the id of a run")
        return os.path.join(self.root, self.run, _PREFIX + self.name)

    def write(self, old: str, new: str, why: str = "") -> None:
        """Keep `old` (or `why` not), and how `new` is known again; raises OncallError when it cannot."""
        if self.exists() and self.read().old != old:
            raise UsageError(
                "keep the old secret for an undo",
                on=self.path,
                got="this run has exchanged the secret already, and keeps the one from before that",
                next_step="take it back, or release it, before it is exchanged again",
                kind="conflict",
            )
        self.put(Kept(old, why, digest(new), self.place, proved=False))

    def put(self, kept: Optional[Kept]) -> None:
        """Have the file say `kept`, None = take it away; raises OncallError when it cannot be written."""
        if kept is None:
            self.remove()
            return
        folder, name = os.path.split(self.path)
        beside = os.path.join(folder, ".new-" + name)
        try:
            for one in (self.root, folder):
                os.makedirs(one, mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="utf-8") as handle:
                json.dump(asdict(kept), handle)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(beside, self.path)
        except OSError as exc:
            raise OncallError(
                "keep the old secret for an undo",
                on=self.path,
                got=str(exc.strerror),
                next_step="set private_dir to a folder of this user with room",
            ) from None

    def read(self) -> Kept:
        """Return what is kept; raises UsageError when nothing is (any more)."""
        try:
            with open(self.path, encoding="utf-8") as handle:
                told: Dict[str, Any] = json.load(handle)
                return Kept(**{name: told[name] for name in Kept.__dataclass_fields__ if name in told})
        except FileNotFoundError:
            raise self._not_kept() from None
        except (OSError, ValueError, TypeError) as exc:
            got = type(exc).__name__
            raise OncallError(
                "read the private copy", on=self.path, got=got, next_step="become its owner, or delete it"
            ) from None

    def _not_kept(self) -> UsageError:
        next_step = "rotate again; what is in place now stays good"
        got = "the old secret is not kept (any more)"
        return UsageError("take the rotation back", on=self.path, got=got, next_step=next_step)

    def attempts(self) -> Iterator["PrivateCopy"]:
        """Yield the files of every run that exchanged this secret and did not see the new one proved."""
        with contextlib.suppress(OSError):
            for run in sorted(os.listdir(self.root)):
                other = replace(self, run=run)
                with contextlib.suppress(OncallError):
                    kept = other.read()
                    if not kept.proved and kept.place == self.place:
                        yield other

    def attempt_at(self, now: str) -> Optional[Kept]:
        """Return what the attempt that put `now` in place has kept; None where there is no such attempt."""
        found = [one.read() for one in self.attempts()]
        return next((kept for kept in found if kept.new_sha256 == digest(now)), None)

    def old(self, now: str) -> str:
        """Return the old secret; raises OncallError when it is gone, or `now` is not what replaced it."""
        kept = self.read()
        if not kept.old:
            raise self._not_kept()
        same = [other for other in (one.read() for one in self.attempts()) if other.old == kept.old]
        if kept.old == now or digest(now) in [one.new_sha256 for one in (kept, *same)]:
            return kept.old
        raise UsageError(
            "take the rotation back",
            on=self.path,
            got="the secret was changed again since that run; nothing was changed now",
            next_step="take the later run back first",
            kind="conflict",
        )

    def settle(self, *, proved: bool) -> None:
        """Note that the new secret was proved, or else that the one from before is back, of every attempt."""
        kept = self.read()
        for other in list(self.attempts()):
            if other.run != self.run and other.read().old == kept.old:
                other._settled_by(self.run)
        if proved and kept.old:
            self.put(replace(kept, proved=True))
        else:
            self.remove()

    def _settled_by(self, run: str) -> None:
        if self.read().old:
            # Whoever takes that run back has to find that nothing is left to do.
            self.put(Kept(settled_by=run))
        else:
            self.remove()

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
    """Return the paths of every private copy below `root` that holds a secret."""
    found: List[str] = []
    with contextlib.suppress(OSError):
        for run in sorted(os.listdir(root)):
            with contextlib.suppress(OSError):
                names = [n for n in sorted(os.listdir(os.path.join(root, run))) if n.startswith(_PREFIX)]
                copies = [PrivateCopy(root, run, name[len(_PREFIX) :]) for name in names]
                found += [copy.path for copy in copies if _holds_secret(copy)]
    return found


def _holds_secret(copy: PrivateCopy) -> bool:
    try:
        return bool(copy.read().old)
    except OncallError:
        return True


def digest(value: Optional[str]) -> str:
    """Return by what a long random secret is known again."""
    return hashlib.sha256((value or "").encode()).hexdigest()
