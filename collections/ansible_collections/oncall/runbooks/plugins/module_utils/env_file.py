# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file of settings (`KEY=value` lines, as compose and systemd read it), changed whole or not at all.

Nothing here ever puts a value into a message: the file holds secrets.
"""

from __future__ import annotations

__metaclass__ = type

import contextlib
import errno
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from typing import List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
    UsageError,
)

MAX_SIZE = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LINE = re.compile(
    r"(?P<head>[ \t]*(?:export[ \t]+)?)(?P<key>[A-Za-z_][A-Za-z0-9_]*)(?P<equals>[ \t]*=[ \t]*)(?P<value>.*)",
    re.DOTALL,
)
_COMMENT = re.compile(r"[ \t]+#.*", re.DOTALL)


@dataclass(frozen=True)
class _Line:
    """One assignment: `head` and `tail` are kept as they are, `quote` is '"', "'" or empty."""

    head: str
    key: str
    value: str
    quote: str
    tail: str

    def text(self, value: str) -> str:
        return self.head + self.quote + value + self.quote + self.tail


@dataclass(frozen=True)
class EnvFile:
    """The content of a settings file as it was read, and which file that was."""

    path: str
    content: str
    stamp: "os.stat_result"

    @classmethod
    def read(cls, path: str) -> "EnvFile":
        """Read the file that `path` names (through symbolic links); raises OncallError saying what to do."""
        real = os.path.realpath(path)
        tried = "read the settings file"
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW)
            with open(descriptor, "rb") as handle:
                stamp = os.fstat(handle.fileno())
                content = handle.read(MAX_SIZE + 1)
        except OSError as exc:
            raise _unusable(tried, path, exc) from None
        if not stat.S_ISREG(stamp.st_mode) or len(content) > MAX_SIZE:
            got = "it is no plain file of at most %d bytes" % MAX_SIZE
            raise UsageError(tried, on=path, got=got, next_step="correct the option that names the file")
        try:
            return cls(real, content.decode("utf-8"), stamp)
        except UnicodeDecodeError:
            got = "it is no UTF-8 text, so a change could damage it"
            raise UsageError(tried, on=path, got=got, next_step="correct the file by hand") from None

    def value(self, key: str) -> Optional[str]:
        """Return the value of `key`, None when the file does not set it; raises when it is set twice."""
        at = self._only(key)
        return None if at is None else _parsed(self._lines[at]).value

    def with_values(self, values: Mapping[str, Optional[str]]) -> str:
        """Return the content with `values` set where they stand (or at the end), and None ones removed."""
        changed = self
        for key, value in values.items():
            changed = EnvFile(self.path, changed._with_value(key, value), self.stamp)
        return changed.content

    @property
    def _lines(self) -> List[str]:
        # Not splitlines: that also splits at characters which belong to a value.
        return re.findall(r"[^\n]*\n|[^\n]+", self.content)

    def _with_value(self, key: str, value: Optional[str]) -> str:
        _check(key, value)
        at, lines = self._only(key), self._lines
        if value is None:
            return "".join(line for number, line in enumerate(lines) if number != at)
        if at is None:
            gap = "" if self.content.endswith("\n") or not self.content else "\n"
            return "%s%s%s=%s\n" % (self.content, gap, key, value)
        lines[at] = _parsed(lines[at]).text(value)
        return "".join(lines)

    def _only(self, key: str) -> Optional[int]:
        found = [number for number, line in enumerate(self._lines) if _key(line) == key]
        if len(found) > 1:
            raise UsageError(
                "find the setting %s" % key,
                on=self.path,
                got="it stands there %d times (lines %s)"
                % (len(found), ", ".join(str(number + 1) for number in found)),
                next_step="leave only the line that is meant (programs disagree about which one counts)",
                kind="ambiguous",
            )
        return found[0] if found else None

    def write(self, content: str) -> "EnvFile":
        """Put `content` into the file's place in one step, with its mode, owner and attributes.

        Raises ConflictError when somebody changed the file since it was read; nothing is changed then.
        """
        tried = "write the settings file"
        self._same(tried)
        folder, name = os.path.split(self.path)
        try:
            descriptor, part = tempfile.mkstemp(prefix=".%s." % name, dir=folder)
        except OSError as exc:
            raise _unusable(tried, self.path, exc) from None
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as handle:
                handle.write(content)
                handle.flush()
                self._dress(handle.fileno())
                os.fsync(handle.fileno())
            self._same(tried)
            os.rename(part, self.path)
        except OSError as exc:
            raise _unusable(tried, self.path, exc) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
        sync_folder(folder)
        return EnvFile.read(self.path)

    def _same(self, tried: str) -> None:
        try:
            now = os.stat(self.path)
        except OSError as exc:
            raise _unusable(tried, self.path, exc) from None
        if (now.st_ino, now.st_mtime_ns, now.st_size) != (
            self.stamp.st_ino,
            self.stamp.st_mtime_ns,
            self.stamp.st_size,
        ):
            got = "somebody else changed it meanwhile; nothing was written"
            raise ConflictError(tried, on=self.path, got=got, next_step="see who edits it, then run it again")
        if now.st_nlink > 1:
            got = "it has %d names (hard links), and only one of them would change" % now.st_nlink
            raise UsageError(tried, on=self.path, got=got, next_step="make it a file of one name")

    def _dress(self, descriptor: int) -> None:
        """Give the new file the owner, the mode and the labels of the old one."""
        if (os.geteuid(), os.getegid()) != (self.stamp.st_uid, self.stamp.st_gid):
            os.fchown(descriptor, self.stamp.st_uid, self.stamp.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(self.stamp.st_mode))
        names: List[str] = []
        with contextlib.suppress(OSError):  # a file system without attributes has none to lose
            names = os.listxattr(self.path)
        for name in names:
            os.setxattr(descriptor, name, os.getxattr(self.path, name))


def sync_folder(folder: str) -> None:
    """Make a rename in `folder` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key(line: str) -> str:
    match = _LINE.match(line)
    return match.group("key") if match else ""


def _parsed(line: str) -> _Line:
    match = _LINE.match(line)
    assert match
    head = match.group("head") + match.group("key") + match.group("equals")
    body = match.group("value")
    bare = body.rstrip("\r\n")
    quote = bare[:1] if bare[:1] in ("'", '"') else ""
    end = bare.find(quote, 1) if quote else -1
    if end > 0:
        return _Line(head, match.group("key"), bare[1:end], quote, body[end + 1 :])
    value = _COMMENT.sub("", bare).rstrip(" \t")
    return _Line(head, match.group("key"), value, "", body[len(value) :])


def _check(key: str, value: Optional[str]) -> None:
    plain = value is None or re.match(r"[^\s'\"\\$`#]*\Z", value)
    if not _NAME.match(key) or not plain:
        raise UsageError(
            "set %s" % key[:80],
            got="its name or its value has characters that programs read differently",
            next_step="use a name of letters, digits and _, and a value without spaces, quotes, $, \\ and #",
        )


def _unusable(tried: str, path: str, exc: OSError) -> OncallError:
    got = "%s" % (exc.strerror or exc)
    if exc.errno in (errno.EACCES, errno.EPERM):
        return DeniedError(tried, on=path, got=got, next_step="become its owner or root (become: true)")
    if exc.errno == errno.ENOENT:
        return UsageError(tried, on=path, got=got, next_step="correct the option that names the file")
    if exc.errno == errno.EBUSY:
        return OncallError(
            tried,
            on=path,
            got=got + " (it is mounted by itself)",
            next_step="name the file on the host that is mounted there",
        )
    return OncallError(tried, on=path, got=got, next_step="see whether its disk is full or read-only")
