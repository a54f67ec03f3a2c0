# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep what is in no commit: on a branch of its own and as a patch, proved before anything is overwritten."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import hashlib
import os
import shutil
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.checkout import CheckoutState
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import units

_AUTHOR = {
    "GIT_AUTHOR_NAME": "oncall.runbooks",
    "GIT_AUTHOR_EMAIL": "oncall.runbooks@localhost",
    "GIT_COMMITTER_NAME": "oncall.runbooks",
    "GIT_COMMITTER_EMAIL": "oncall.runbooks@localhost",
}
_TIMEOUT = 300.0
_MOST = 256 * 1024 * 1024


@dataclass(frozen=True)
class Kept:
    """What was set aside: the `branch` with it, its commit, and the patch with its checksum."""

    branch: str
    commit: str
    base: str
    files: Tuple[str, ...]
    hidden: Tuple[str, ...]
    patch: str
    sha256: str

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data, from which `Kept.load` makes it again."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Kept:
        """Return what `as_dict` told."""
        values: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    def evidence(self) -> Dict[str, Any]:
        """Return the entry of a result's `evidence`."""
        return {
            "name": os.path.basename(self.patch),
            "path": self.patch,
            "sha256": self.sha256,
            "summary": "%d uncommitted files as a patch against %s; also on the branch %s"
            % (len(self.files), self.base[:12], self.branch),
        }


def branch_for(run: str) -> str:
    """Return the branch that keeps what a run found uncommitted."""
    return "oncall/kept-" + run


def require_space(git: Git, state: CheckoutState) -> None:
    """Raise ConflictError when what is uncommitted is too much to be kept in the repository."""
    size = sum(_size(os.path.join(git.folder, name)) for name in _paths(state))
    free = shutil.disk_usage(git.folder).free
    if size > _MOST or 3 * size > free:
        raise ConflictError(
            "set uncommitted changes aside",
            on=git.folder,
            got="they are %s, of which %s is the most, and %s is free; nothing was changed"
            % (units.size(size), units.size(_MOST), units.size(free)),
            next_step="name in .git/info/exclude what is no work of people (it then stays where it is): %s"
            % ", ".join(state.untracked[:5]),
            kind="too_much_uncommitted",
        )


def _paths(state: CheckoutState) -> List[str]:
    return [*state.untracked, *(entry[2:].strip() for entry in (*state.changed, *state.hidden))]


def _size(path: str) -> int:
    """Bytes of a file, or of all files in a folder; what is gone has none."""
    if os.path.isdir(path) and not os.path.islink(path):
        return sum(_size(entry.path) for entry in os.scandir(path))
    return os.lstat(path).st_size if os.path.lexists(path) else 0


def set_aside(git: Git, state: CheckoutState, run: str, folder: str) -> Kept:
    """Keep everything uncommitted on a branch and as a patch in `folder`; the working tree stays as it is.

    Raises ConflictError when the branch exists or somebody is editing, OncallError when it cannot be kept.
    """
    branch = branch_for(run)
    with _index_of_our_own(git, state, run) as variables:
        staged = git.tell("write-tree", variables=variables)
        commit = _commit(git, staged, state.sha, "Staged when run %s came" % run, variables)
        commit = _commit(
            git, _whole_tree(git, variables), commit, "Uncommitted when run %s came" % run, variables
        )
        patch, sha256 = _write_patch(git, state.sha, commit, os.path.join(folder, "hot-fixes.patch"), run)
        git.tell("update-ref", "refs/heads/" + branch, commit, "")
        _prove(git, commit, variables)
    return Kept(branch, commit, state.sha, tuple(state.uncommitted), state.hidden, patch, sha256)


@contextlib.contextmanager
def _index_of_our_own(git: Git, state: CheckoutState, run: str) -> Iterator[Dict[str, str]]:
    """A copy of the index that sees hidden files too, so that the real one stays as it is."""
    real = os.path.join(git.ask("rev-parse", "--absolute-git-dir"), "index")
    own = "%s.oncall-%s" % (real, run)
    try:
        shutil.copyfile(real, own)
        os.chown(own, git.owner.uid, git.owner.gid)
        variables = {"GIT_INDEX_FILE": own, **_AUTHOR}
        show_hidden(git, state.hidden, variables)
        yield variables
    except OSError as exc:
        raise OncallError(
            "set uncommitted changes aside",
            on=git.folder,
            got=str(exc),
            next_step="make room, or become the owner of the checkout",
        ) from None
    finally:
        for leftover in (own, own + ".lock"):
            with contextlib.suppress(OSError):
                os.unlink(leftover)


def show_hidden(git: Git, hidden: Tuple[str, ...], variables: Mapping[str, str]) -> None:
    """Take the marks off that keep git from seeing changes."""
    for entry in hidden:
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            git.tell("update-index", flag, "--", entry[2:], variables=variables)


def hide_again(git: Git, hidden: Tuple[str, ...]) -> None:
    """Put these marks back."""
    for entry in hidden:
        flag = "--skip-worktree" if entry[0] == "S" else "--assume-unchanged"
        git.tell("update-index", flag, "--", entry[2:])


def _whole_tree(git: Git, variables: Mapping[str, str]) -> str:
    git.tell("add", "--all", "--", ":/", variables=variables, timeout=_TIMEOUT)
    return git.tell("write-tree", variables=variables)


def _commit(git: Git, tree: str, parent: str, message: str, variables: Mapping[str, str]) -> str:
    """Return a commit of `tree`, or `parent` itself where it holds the same."""
    if git.ask("rev-parse", parent + "^{tree}") == tree:
        return parent
    return git.tell("commit-tree", tree, "-p", parent, "-m", message, variables=variables)


def _write_patch(git: Git, base: str, commit: str, path: str, run: str) -> Tuple[str, str]:
    """Write the difference to a file that only its owner can read; return its path and checksum."""
    # Git writes as the owner of the checkout, who may not write where evidence is kept.
    beside = os.path.join(git.ask("rev-parse", "--absolute-git-dir"), "oncall-%s.patch" % run)
    try:
        git.tell(
            "diff", "--binary", "--no-ext-diff", "--no-textconv", "--output=" + beside, base, commit,
            timeout=_TIMEOUT,
        )  # fmt: skip
        with open(beside, "rb") as handle:
            content = handle.read()
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)
    return path, hashlib.sha256(content).hexdigest()


def _prove(git: Git, commit: str, variables: Mapping[str, str]) -> None:
    """Raise ConflictError unless the branch holds what is in the working tree at this moment."""
    if _whole_tree(git, variables) != git.ask("rev-parse", commit + "^{tree}") or _submodules_changed(git):
        raise ConflictError(
            "set uncommitted changes aside",
            on=git.folder,
            got="the files change while they are kept, or a submodule has changes of its own; the checkout "
            "was not touched",
            next_step="see who works in it (git status, lsof), commit there what is in a submodule",
            kind="checkout_busy",
        )


def _submodules_changed(git: Git) -> bool:
    said = git.ask("status", "--porcelain=v2", "-z", "--ignore-submodules=none", "--untracked-files=no")
    marks = [entry.split(" ")[2] for entry in said.split("\0") if entry[:2] in ("1 ", "2 ")]
    return any(mark.startswith("S") and mark[2:] != ".." for mark in marks)


def bring_back(git: Git, kept: Kept) -> None:
    """Put what was set aside back into the working tree, uncommitted as it was; HEAD is `kept.base`."""
    git.tell("checkout", "--force", "--no-overlay", kept.commit, "--", ":/", timeout=_TIMEOUT)
    git.tell("reset", "--quiet", "--mixed", "HEAD", timeout=_TIMEOUT)
    hide_again(git, kept.hidden)
