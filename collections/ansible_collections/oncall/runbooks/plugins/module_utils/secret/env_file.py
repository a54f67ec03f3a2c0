# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A secret that is one line of a settings file."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.base import Destination, Receipt
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile

_MAX_NEIGHBOUR = 1024 * 1024


class EnvFileDestination(Destination):
    """The line of `key` in the file at `path`."""

    kind = "env_file"

    def __init__(self, path: str, key: str) -> None:
        self.path, self.key = path, key

    @property
    def place(self) -> str:
        return "%s in %s" % (self.key, self.path)

    def current(self) -> Optional[str]:
        return EnvFile.read(self.path).get(self.key)

    def store(self, value: str) -> Receipt:
        before = EnvFile.read(self.path)
        before.changed({self.key: value}).replace(before)
        after = EnvFile.read(self.path)
        if after.get(self.key) != value or after.count(self.key) != 1:
            raise VerificationError(
                "write the secret",
                on=self.place,
                got="the file does not say what was written",
                next_step="see what else writes this file",
            )
        return {}

    def put_back(self, old: str, receipt: Receipt) -> None:  # noqa: ARG002 - the shared signature
        self.store(old)

    def copies(self, value: str) -> List[str]:
        """Return the files beside this one whose names begin like its own and that hold `value`."""
        real = os.path.realpath(self.path)
        folder, name = os.path.split(real)
        stem = name.split(".")[0] or name
        found = []
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            similar = stem in entry.name and entry.path != real
            if similar and entry.is_file(follow_symlinks=False) and entry.stat().st_size <= _MAX_NEIGHBOUR:
                found += [entry.path] if _holds(entry.path, value) else []
        return found


def _holds(path: str, value: str) -> bool:
    try:
        with open(path, "rb") as handle:
            return value.encode() in handle.read()
    except OSError:
        return False
