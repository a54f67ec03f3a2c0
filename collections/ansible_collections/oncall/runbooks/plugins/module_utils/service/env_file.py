# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of `KEY=value` lines that compose and systemd read: look into it, change keys, replace it."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import errno
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
    UsageError,
)

_LINE = re.compile(r"^(?P<head>\s*(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_.]*)\s*=[ \t]*)(?P<rest>.*)$")
_VALUE = re.compile(r"(?P<value>'[^']*'|\"(?:[^\"\\]|\\.)*\"|.*?)(?P<tail>(?:\s+#.*)?\s*)$")
_PLAIN = re.compile(r"^[A-Za-z0-9_./:+=@,%^~-]*$")
_NEXT = {
    errno.EBUSY: "the file is mounted by itself and cannot be replaced: mount its folder instead",
    0: "name the file by one path only",
}
_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*$")


@dataclass(frozen=True)
class EnvFile:
    """An env file as it was read: `path` with symbolic links followed, `text` whole.

    Comments, order, blank lines and the quoting of other keys are never touched.
    """

    path: str
    text: str

    @classmethod
    def read(cls, path: str) -> EnvFile:
        """Return the file; raises DeniedError or UsageError that names the path."""
        real = os.path.realpath(path)
        try:
            with open(real, encoding="utf-8", newline="") as handle:
                return cls(real, handle.read())
        except PermissionError as exc:
            raise DeniedError(
                "read the settings", on=path, got=str(exc), next_step="become root on this host"
            ) from None
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(
                "read the settings",
                on=path,
                got=str(exc),
                next_step="correct project_dir and env_file of the service",
            ) from None

    def values(self) -> Dict[str, str]:
        """Return every key with its value, unquoted; of a key that is there twice the last."""
        return {match.group("key"): _unquoted(match.group("rest")) for match in self._matches()}

    def count(self, key: str) -> int:
        """Return on how many lines `key` is set."""
        return sum(1 for match in self._matches() if match.group("key") == key)

    def get(self, key: str) -> Optional[str]:
        """Return the value of `key`, None when it is not set; raises ConflictError when it is set twice."""
        self._once(key)
        return self.values().get(key)

    def changed(self, values: Mapping[str, Optional[str]]) -> EnvFile:
        """Return the file with `values` set in place, or added at the end; None takes a key out.

        Raises ConflictError for a key that is set more than once, UsageError for what cannot be written.
        """
        lines = self.text.splitlines(keepends=True)
        for key, value in values.items():
            self._once(key)
            lines = _with(lines, key, value)
        return EnvFile(self.path, "".join(lines))

    def replace(self, before: EnvFile) -> None:
        """Put this text in the place of `before`, whole or not at all; mode and owner stay.

        Raises ConflictError when somebody changed the file since `before` was read.
        """
        if EnvFile.read(self.path).text != before.text:
            raise ConflictError(
                "change the settings",
                on=self.path,
                got="somebody changed the file in the meantime",
                next_step="look at the file, then run this again",
            )
        try:
            _write_atomically(self.path, self.text.encode("utf-8"))
        except OSError as exc:
            raise OncallError(
                "write the settings",
                on=self.path,
                got="%s; the file is as it was" % exc,
                next_step=_NEXT.get(
                    exc.errno or 0, "make room on its file system, or become root on this host"
                ),
                kind="not_written",
            ) from None

    def _matches(self) -> List["re.Match[str]"]:
        return [match for match in map(_LINE.match, self.text.splitlines()) if match]

    def _once(self, key: str) -> None:
        count = self.count(key)
        if count > 1:
            raise ConflictError(
                "change %s" % key,
                on=self.path,
                got="it is set on %d lines, and only the last counts" % count,
                next_step="remove all but one of these lines, then run this again",
            )


def _with(lines: List[str], key: str, value: Optional[str]) -> List[str]:
    if not _KEY.match(key):
        raise UsageError(
            "change a setting", on=key, got="that is no name of a variable", next_step="correct the name"
        )
    for number, line in enumerate(lines):
        body = line.rstrip("\r\n")
        match = _LINE.match(body)
        if match and match.group("key") == key:
            end = line[len(body) :]
            new = [] if value is None else [_line(match, value) + end]
            return [*lines[:number], *new, *lines[number + 1 :]]
    if value is None:
        return lines
    if lines and not lines[-1].endswith("\n"):
        lines = [*lines[:-1], lines[-1] + "\n"]
    return [*lines, "%s=%s\n" % (key, quoted(value))]


def _line(match: "re.Match[str]", value: str) -> str:
    old = _VALUE.match(match.group("rest"))
    return match.group("head") + quoted(value) + (old.group("tail") if old else "")


def quoted(value: str) -> str:
    """Return `value` as every reader of env files takes it literally; raises UsageError if it cannot be."""
    if _PLAIN.match(value):
        return value
    if "'" in value or "\n" in value or "\r" in value:
        raise UsageError(
            "write a setting",
            got="its value has a single quote or a line end in it, which not every reader takes literally",
            next_step="choose a value without them",
        )
    # In single quotes nothing is expanded: a `$` would else be taken for a variable by compose.
    return "'%s'" % value


def _unquoted(rest: str) -> str:
    match = _VALUE.match(rest)
    value = (match.group("value") if match else rest).strip()
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _copy_attributes(path: str, descriptor: int) -> None:
    """Keep what else hangs on a file, such as its SELinux label; not every file system knows such things."""
    with contextlib.suppress(OSError):
        for name in os.listxattr(path):
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(path, name))


def _write_atomically(path: str, data: bytes) -> None:
    """Write beside the file and rename; mode and owner are the old ones before there is content."""
    folder, old = os.path.dirname(path), os.stat(path)
    if old.st_nlink > 1:
        raise OSError("the file has %d names (hard links), and only one would change" % old.st_nlink)
    descriptor, beside = tempfile.mkstemp(prefix=".%s." % os.path.basename(path), dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), old.st_mode & 0o7777)
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle.fileno(), old.st_uid, old.st_gid)
            _copy_attributes(path, handle.fileno())
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    parent = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
