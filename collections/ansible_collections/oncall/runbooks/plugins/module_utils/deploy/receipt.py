# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was there before a deployment: enough to deploy it again, kept on the host before anything changes."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import glob
import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.aside import Kept
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError

_RUN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z")
ROLE, ENTRY_POINT = "oncall.runbooks.deploy", "undo"


@dataclass(frozen=True)
class Receipt:
    """One deployment: from `before` (on `branch`, "" for none) to `target`, with what was set aside.

    `too_new` are migrations that the code of `before` did not know already then. `phase` is begun (nothing
    may have moved yet), scripted (the checkout moved, the script was started), done, or undone.
    """

    run: str
    path: str
    before: str
    subject: str
    branch: str
    target: str
    too_new: Tuple[str, ...] = ()
    phase: str = "begun"
    kept: Optional[Dict[str, Any]] = None

    @property
    def set_aside(self) -> Optional[Kept]:
        """What was set aside, None when the checkout was clean."""
        return Kept.load(self.kept) if self.kept else None

    def undo(self) -> Optional[Dict[str, Any]]:
        """Return how the deployment is taken back, as a result's `undo`.

        None where the checkout is what it was, and only something else ran: there is nothing to go back to.
        """
        if self.before == self.target and not self.kept:
            return None
        told = {key: value for key, value in asdict(self).items() if key != "phase"}
        files = len(self.kept["files"]) if self.kept else 0
        more = ", with its %d uncommitted files" % files if files else ""
        return {
            "summary": "deploys %s %s again%s" % (self.before[:12], self.subject, more),
            "reversible": True,
            "role": ROLE,
            "entry_point": ENTRY_POINT,
            "args": dict(told, too_new=list(self.too_new)),
        }

    def at(self, phase: str, private_dir: str) -> Receipt:
        """Save and return it with another phase."""
        made = replace(self, phase=phase)
        made.save(private_dir)
        return made

    def save(self, private_dir: str) -> None:
        """Write it durably, for its owner only; raises OncallError when there is no room or permission."""
        path = file_for(private_dir, self.run, self.path)
        try:
            for level in (private_dir, os.path.dirname(path)):
                os.makedirs(level, mode=0o700, exist_ok=True)
            descriptor, beside = tempfile.mkstemp(prefix=".deploy.", dir=os.path.dirname(path))
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                json.dump(asdict(self), handle)
                handle.flush()
                os.fsync(handle.fileno())
            os.rename(beside, path)
        except OSError as exc:
            raise OncallError(
                "keep what was deployed before",
                on=path,
                got=str(exc),
                next_step="set private_dir to a folder on a file system with room, and become root",
                kind="not_written",
            ) from None


def folder_for(private_dir: str, run: str) -> str:
    """Return the private folder of a run; raises UsageError when `run` is no name."""
    if not _RUN.match(run):
        raise UsageError(
            "name the deployment", got="%r is no name" % run[:80], next_step="set run to the id of a run"
        )
    return os.path.join(private_dir, run)


def file_for(private_dir: str, run: str, path: str) -> str:
    """Return where the receipt of a run for a checkout is."""
    mark = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:8]
    return os.path.join(folder_for(private_dir, run), "deploy-%s.json" % mark)


def load(data: Mapping[str, Any]) -> Receipt:
    """Return the receipt that `undo.args` holds; raises UsageError when it is none."""
    try:
        return Receipt(**data)
    except TypeError as exc:
        raise UsageError(
            "take the deployment back",
            got=str(exc),
            next_step="give what the deployment returned as undo.args",
        ) from None


def find(private_dir: str, run: str, path: str) -> Optional[Receipt]:
    """Return the receipt of a run for a checkout, None when it left none."""
    try:
        with open(file_for(private_dir, run, path), encoding="utf-8") as handle:
            return load(json.load(handle))
    except FileNotFoundError:
        return None


def unfinished(private_dir: str, path: str, head: str) -> Optional[Receipt]:
    """Return the newest receipt of a deployment of `head` in this checkout that did not come to its end."""
    name = os.path.basename(file_for(private_dir, "any", path))
    found = []
    for file in glob.glob(os.path.join(glob.escape(private_dir), "*", name)):
        with contextlib.suppress(OSError, ValueError, UsageError), open(file, encoding="utf-8") as handle:
            found.append((os.path.getmtime(file), load(json.load(handle))))
    newest = max(found, key=lambda pair: pair[0])[1] if found else None
    is_left = newest is not None and newest.target == head and newest.phase not in ("done", "undone")
    return newest if is_left else None
