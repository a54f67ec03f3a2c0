# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What state a checkout is in, and moving it to another commit without losing what was never committed."""

from __future__ import annotations

__metaclass__ = type

import os
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Commit, Git, GitError
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, VerificationError

_BUSY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}
_UNMERGED = ("DD", "AU", "UD", "UA", "DU", "AA", "UU")
_CHECKOUT_TIMEOUT = 300.0


@dataclass(frozen=True)
class CheckoutState:
    """A checkout at one moment.

    `branch` is empty when HEAD is detached. `changed` are uncommitted changes of tracked files as git
    status tells them (`M app.py`), `untracked` are files git does not know, `hidden` are changed files
    that git was told to look away from (their mark before the name), `busy` names an operation that was
    begun and not ended.
    """

    sha: str
    subject: str
    time: int
    branch: str
    changed: Tuple[str, ...] = ()
    untracked: Tuple[str, ...] = ()
    hidden: Tuple[str, ...] = ()
    busy: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing would be lost with the working tree."""
        return not (self.changed or self.untracked or self.hidden)

    @property
    def commit(self) -> Commit:
        """The commit that is checked out."""
        return Commit(self.sha, self.subject, self.time)

    @property
    def uncommitted(self) -> List[str]:
        """Every file that is in no commit as it is, with git's mark in front."""
        marked = ["%s (hidden from git status)" % entry[2:] for entry in self.hidden]
        return [*self.changed, *("?? " + name for name in self.untracked), *marked]

    @property
    def where(self) -> str:
        """`on main` or `detached`."""
        return "on %s" % self.branch if self.branch else "detached, on no branch"

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        told = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return dict(told, clean=self.clean)


def look(git: Git) -> CheckoutState:
    """Return the state of the checkout; nothing is written. Raises OncallError when git cannot say."""
    if git.call("rev-parse", "--verify", "--quiet", "HEAD^{commit}").rc != 0:
        # Says why: no repository, not allowed, or nothing committed yet.
        git.ask("rev-parse", "--absolute-git-dir")
        raise GitError(
            "look at the checkout",
            on=git.folder,
            got="it has no commit yet",
            next_step="set the path of the checkout that is deployed",
            kind="no_commit",
        )
    head = git.commit("HEAD")
    branch = git.call("symbolic-ref", "--quiet", "--short", "HEAD")
    changed, untracked, unmerged = _status(git)
    busy = _busy(git) or ("a merge with conflicts in %s" % ", ".join(unmerged) if unmerged else "")
    return CheckoutState(
        head.sha,
        head.subject,
        head.time,
        branch.out.strip() if branch.rc == 0 else "",
        tuple(changed),
        tuple(untracked),
        tuple(_hidden(git)),
        busy,
    )


def _status(git: Git) -> Tuple[List[str], List[str], List[str]]:
    said = git.ask("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal")
    changed, untracked, unmerged = [], [], []
    for entry in filter(None, said.split("\0")):
        mark, name = entry[:2], entry[3:]
        if mark == "??":
            untracked.append(name)
        elif mark in _UNMERGED:
            unmerged.append(name)
        else:
            changed.append("%s %s" % (mark.strip(), name))
    return changed, untracked, unmerged


def _busy(git: Git) -> str:
    folder = git.ask("rev-parse", "--absolute-git-dir")
    if os.path.exists(os.path.join(folder, "index.lock")):
        return "another git command (index.lock is there)"
    for name, what in _BUSY.items():
        if os.path.exists(os.path.join(folder, name)):
            return what
    return ""


def _hidden(git: Git) -> List[str]:
    """Return changed files with the marks assume-unchanged (h) or skip-worktree (S), as `h config.py`.

    A file with such a mark that is not in the working tree is a sparse checkout's, and nobody's change.
    """
    marked = [
        (entry[0], entry[2:])
        for entry in git.ask("ls-files", "-v", "-z").split("\0")
        if entry and (entry[0].islower() or entry[0] == "S")
    ]
    there = [(mark, name) for mark, name in marked if os.path.lexists(os.path.join(git.folder, name))]
    found = []
    for mark, name in there:
        indexed = git.ask("rev-parse", ":" + name)
        if git.ask("hash-object", "--path", name, "--", name) != indexed:
            found.append("%s %s" % (mark, name))
    return found


def require_quiet(git: Git, state: CheckoutState) -> None:
    """Raise ConflictError when somebody is in the middle of something in the checkout."""
    if state.busy:
        raise ConflictError(
            "change the checkout",
            on=git.folder,
            got="%s is going on in it; nothing was changed" % state.busy,
            next_step="end it or take it back there (git status says how), then run this again",
            kind="checkout_busy",
        )


def in_the_way(git: Git, state: CheckoutState, target: str) -> List[str]:
    """Return files that git ignores now and that `target` would overwrite: nothing keeps those."""
    added = git.ask("diff", "--no-renames", "--name-only", "--diff-filter=A", "-z", state.sha, target)
    there = [name for name in added.split("\0") if name and os.path.lexists(os.path.join(git.folder, name))]
    return [name for name in there if git.says_yes("check-ignore", "--quiet", "--", name)]


def require_room(git: Git, state: CheckoutState, target: Commit) -> None:
    """Raise ConflictError when the commit holds a file that is ignored (such as settings) here."""
    names = in_the_way(git, state, target.sha)
    if names:
        raise ConflictError(
            "check out %s" % target.short,
            on=git.folder,
            got="it holds %s, which git ignores now and would overwrite; nothing was changed"
            % ", ".join(names),
            next_step="move the file away, and put it back afterwards if it is still needed",
            kind="ignored_in_the_way",
        )


def switch(git: Git, target: str, *, branch: str = "", force: bool = False) -> None:
    """Check out `target` detached, or `branch` that points to it; raises when it is not so afterwards.

    `force` overwrites changes of tracked files: only after they were set aside.
    """
    how = ["--force"] if force else ["--no-overwrite-ignore"]
    what = [branch] if branch else ["--detach", target]
    git.tell("checkout", "--quiet", *how, *what, "--", timeout=_CHECKOUT_TIMEOUT)
    now = git.ask("rev-parse", "HEAD")
    left = [] if now != target else _status(git)[0]
    if now != target or left:
        raise VerificationError(
            "check out %s" % target[:12],
            on=git.folder,
            got="HEAD is %s%s"
            % (now[:12], ", and these differ from it: %s" % ", ".join(left) if left else ""),
            next_step="look at git status there",
        )
