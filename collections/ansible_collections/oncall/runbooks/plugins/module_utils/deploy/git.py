# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask and tell git in one checkout, as the user that the checkout belongs to, without hooks or questions."""

from __future__ import annotations

__metaclass__ = type

import os
import pwd
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.marked_processes import VARIABLE
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import Completed, run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub

# Hooks of the checkout are for whoever works in it; a helper that watches files would outlive us.
_CONFIG = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.quotePath=false", "gc.auto=0")
_INHERITED = ("PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", VARIABLE)
_MAX_OUTPUT = 64 * 1024 * 1024
_HEX = re.compile(r"[0-9a-f]{4,64}\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*\Z")


class GitError(OncallError):
    """Git said no."""

    kind = "git"


@dataclass(frozen=True)
class Owner:
    """The user that a path belongs to."""

    uid: int
    gid: int
    name: str
    home: str

    @classmethod
    def of(cls, path: str) -> Owner:
        """Return who owns `path`; raises UsageError when there is no such path."""
        try:
            seen = os.stat(path)
        except OSError as exc:
            raise UsageError(
                "use the checkout",
                on=path,
                got=str(exc.strerror),
                next_step="set the path of the checkout on this host",
                kind="no_checkout",
            ) from None
        try:
            entry = pwd.getpwuid(seen.st_uid)
        except KeyError:
            return cls(seen.st_uid, seen.st_gid, str(seen.st_uid), "/")
        return cls(seen.st_uid, seen.st_gid, entry.pw_name, entry.pw_dir)

    def become(self) -> Optional[Callable[[], None]]:
        """Return what makes a child process this user; None where nothing has to or can be done.

        Never root in somebody else's checkout: its configuration may name programs that git starts, and
        what root writes there its owner could not change any more.
        """
        if os.geteuid() != 0 or self.uid == 0:
            return None

        def become_owner() -> None:
            os.initgroups(self.name, self.gid) if not self.name.isdigit() else os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)

        return become_owner

    def environment(self, **more: str) -> Dict[str, str]:
        """Return the environment of a program that works for this user."""
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        home = self.home if os.geteuid() == 0 else os.environ.get("HOME", self.home)
        return {**kept, "HOME": home, "USER": self.name, "LOGNAME": self.name, **more}


@dataclass(frozen=True)
class Commit:
    """One commit: its full id, what its first line says, and when it was made (Unix time)."""

    sha: str
    subject: str
    time: int

    @property
    def short(self) -> str:
        """Twelve digits and the subject, as a reader sees it."""
        return "%s %s" % (self.sha[:12], self.subject)


class Git:
    """Git in the checkout `folder`; `timeout` is in seconds for one question."""

    def __init__(self, folder: str, *, timeout: float = 20.0) -> None:
        self.folder = os.path.abspath(folder)
        self.timeout = timeout
        self.owner = Owner.of(self.folder)
        self._prepare = self.owner.become()

    def call(
        self,
        *arguments: str,
        variables: Optional[Mapping[str, str]] = None,
        reading: bool = True,
        timeout: Optional[float] = None,
    ) -> Completed:
        """Run git and return how it ended; a reading call takes no lock and writes nothing."""
        own = {"GIT_TERMINAL_PROMPT": "0", "GIT_CEILING_DIRECTORIES": os.path.dirname(self.folder)}
        if reading:
            own["GIT_OPTIONAL_LOCKS"] = "0"
        settings = [word for one in _CONFIG for word in ("-c", one)]
        return run(
            ["git", "-C", self.folder, *settings, *arguments],
            timeout=timeout or self.timeout,
            max_output=_MAX_OUTPUT,
            prepare=self._prepare,
            environment=self.owner.environment(**own, **(variables or {})),
        )

    def ask(self, *arguments: str, **how: object) -> str:
        """Return what git says, without the last line end; raises GitError when it fails."""
        done = self.call(*arguments, **how)  # type: ignore[arg-type]
        if done.rc != 0:
            raise self._refused(arguments, done)
        return done.out.rstrip("\n")

    def tell(self, *arguments: str, **how: object) -> str:
        """The same for what changes the repository."""
        return self.ask(*arguments, reading=False, **how)

    def _refused(self, arguments: Tuple[str, ...], done: Completed) -> OncallError:
        said = " ".join(scrub(done.err or done.out).split())[-400:]
        what = "run git %s" % " ".join(word for word in arguments[:2] if not word.startswith("--"))
        if "dubious ownership" in said:
            return DeniedError(
                what,
                on=self.folder,
                got="the checkout belongs to %s" % self.owner.name,
                next_step="become %s or root on this host" % self.owner.name,
            )
        if "not a git repository" in said.lower():
            return UsageError(
                what,
                on=self.folder,
                got="it is no git checkout",
                next_step="set the path of the checkout on this host",
                kind="no_checkout",
            )
        if "index.lock" in said:
            return GitError(
                what,
                on=self.folder,
                got=said,
                next_step="wait for the other git, or remove its lock once no git runs in the checkout",
                kind="conflict",
            )
        return GitError(
            what, on=self.folder, got=said or "exit code %d" % done.rc, next_step="run it by hand"
        )

    def says_yes(self, *arguments: str, **how: object) -> bool:
        """Whether git answers with success: for questions whose answer is the exit code."""
        return self.call(*arguments, **how).rc == 0  # type: ignore[arg-type]

    def commit(self, sha: str) -> Commit:
        """Return a commit by its full id (or HEAD)."""
        found = self.ask("log", "-1", "--no-show-signature", "--format=%H%x00%ct%x00%s", sha).split("\0")
        return Commit(found[0], found[2], int(found[1]))

    def commits_between(self, older: str, newer: str, limit: int = 50) -> List[Commit]:
        """Return the commits of `newer` that are not in `older`, the newest first."""
        said = self.ask(
            "log", "-n", str(limit), "--no-show-signature", "--format=%H%x00%ct%x00%s", newer, "^" + older
        )
        parts = [line.split("\0") for line in said.splitlines()]
        return [Commit(part[0], part[2], int(part[1])) for part in parts]

    def file(self, sha: str, path: str) -> Optional[str]:
        """Return the text of a file at a commit, None when it is not there."""
        done = self.call("cat-file", "blob", "%s:%s" % (sha, path))
        return done.out if done.rc == 0 else None

    def mode(self, sha: str, path: str) -> str:
        """Return the mode of a file at a commit (`100755`), empty when it is not there."""
        said = self.ask("ls-tree", sha, "--", path)
        return said.split()[0] if said else ""

    def resolve(self, asked: str) -> Commit:
        """Return the commit that `asked` names: a full id, an abbreviation of one alone, or a tag.

        Raises UsageError when there is none, or more than one.
        """
        name = asked.strip()
        if _HEX.match(name.lower()):
            return self._by_digits(name.lower())
        if _NAME.match(name):
            done = self.call("rev-parse", "--verify", "--quiet", "refs/tags/%s^{commit}" % name)
            if done.rc == 0:
                return self.commit(done.out.strip())
        raise self._unknown(asked, "it is neither the id of a commit nor a tag of this checkout")

    def _by_digits(self, digits: str) -> Commit:
        said = self.call("rev-parse", "--disambiguate=" + digits)
        commits = [
            object_id
            for object_id in dict.fromkeys(said.out.split())
            if self.call("cat-file", "-t", object_id).out.strip() == "commit"
        ]
        if len(commits) == 1:
            return self.commit(commits[0])
        if not commits:
            raise self._unknown(digits, "the checkout has no such commit")
        these = "; ".join(self.commit(sha).short for sha in commits[:5])
        raise UsageError(
            "find the commit %s" % digits,
            on=self.folder,
            got="%d commits begin like this: %s" % (len(commits), these),
            next_step="give more digits of the one that is meant",
            kind="ambiguous_sha",
        )

    def _unknown(self, asked: str, got: str) -> UsageError:
        return UsageError(
            "find the commit %s" % asked[:80],
            on=self.folder,
            got=got,
            next_step="look at `git log --oneline -30` there; a commit that is only on the server of the "
            "repository has to be fetched first (git fetch)",
            kind="unknown_sha",
        )
