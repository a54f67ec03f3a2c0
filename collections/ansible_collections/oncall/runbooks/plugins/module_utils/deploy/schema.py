# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the schema that the database has now allows another commit's code to run on it."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import asdict, dataclass
from typing import Any, Collection, Dict, FrozenSet, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Commit, Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.migrations import (
    Applied,
    Code,
    Migration,
    code_at,
    in_order,
    key,
    matching,
    names,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError

_REFS = 40


@dataclass(frozen=True)
class Verdict:
    """Whether a commit's code may run on the database's schema.

    `blocking` are applied migrations that its code does not know and that no one declared harmless for
    older code, `harmless` those that were, `pending` what its code would want to apply: as sentences.
    """

    sha: str
    blocking: Tuple[str, ...]
    harmless: Tuple[str, ...]
    pending: Tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.blocking

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        return dict(asdict(self), allowed=self.allowed)


class Schema:
    """The migrations that the database has, held against commits of one checkout."""

    def __init__(self, git: Git, options: Mapping[str, Any], applied: FrozenSet[str]) -> None:
        self._git, self._options, self.applied = git, options, applied
        self._codes: Dict[str, Code] = {}

    @classmethod
    def of(cls, git: Git, options: Mapping[str, Any], applied: Applied) -> Schema:
        """Return the schema by what the database's table says."""
        bare = cls(git, options, frozenset())
        return cls(git, options, applied.keys(bare.everything(), options))

    def code(self, sha: str) -> Code:
        """Return the migrations of a commit; commits with the same folder of them are read once."""
        done = self._git.call(
            "rev-parse", "--verify", "--quiet", "%s:%s" % (sha, self._options["path"].strip("/"))
        )
        tree = done.out.strip()
        if tree not in self._codes:
            self._codes[tree] = code_at(self._git, sha, self._options)
        return self._codes[tree]

    def everything(self) -> Code:
        """Return the migrations of all places together: what an applied head stands for may be in any."""
        found = {m.version: m for sha in self._places() for m in self.code(sha).known}
        return Code("", tuple(found.values()))

    def verdict(self, sha: str) -> Verdict:
        """Return whether the code of `sha` may run on this schema."""
        code = self.code(sha)
        missing = in_order(self.applied - code.versions)
        told = {version: self._find(version) for version in missing}
        harmless = [version for version in missing if self._is_harmless(told[version])]
        blocking = [version for version in missing if version not in harmless]
        return Verdict(
            sha,
            tuple(_say(version, told[version]) for version in blocking),
            tuple(_say(version, told[version]) for version in harmless),
            tuple(m.path for m in code.known if key(m.version) not in self.applied),
        )

    def fits(self, sha: str) -> bool:
        """Whether the code of `sha` knows exactly what the database has."""
        code = self.code(sha)
        return not code.twice and code.versions == self.applied

    def is_destructive(self, sha: str, migration: Migration) -> bool:
        """Whether a migration of `sha` has words that can lose data."""
        return matching(self._git.file(sha, migration.path) or "", self._options["destructive"])

    def _is_harmless(self, found: Optional[Tuple[str, Migration]]) -> bool:
        if found is None:
            return False
        return matching(self._git.file(found[0], found[1].path) or "", self._options["compatible"])

    def _find(self, version: str) -> Optional[Tuple[str, Migration]]:
        """Return where a migration is written: in HEAD, or at the tip of a branch or tag."""
        for sha in self._places():
            for migration in self.code(sha).named([version]):
                return sha, migration
        return None

    def _places(self) -> Iterator[str]:
        yield "HEAD"
        yield from self.tips()

    def tips(self) -> List[str]:
        """Return the newest tips of branches and tags."""
        said = self._git.ask(
            "for-each-ref", "--sort=-creatordate", "--count=%d" % _REFS, "--format=%(objectname)",
            "refs/heads", "refs/remotes", "refs/tags",
        )  # fmt: skip
        return list(dict.fromkeys(said.split()))

    def newest_fit(self, candidates: List[str]) -> Optional[str]:
        """Return the first of `candidates` whose code knows exactly what the database has."""
        return next((sha for sha in candidates if self.fits(sha)), None)


def _say(version: str, found: Optional[Tuple[str, Migration]]) -> str:
    return found[1].path if found else "%s (its file is in no branch of this checkout)" % version


def require_allowed(verdict: Verdict, target: Commit, known: Collection[str] = ()) -> None:
    """Raise ConflictError that names the migrations in between, when the code is too old for the schema.

    `known`: migrations that it ran without already, so that they are no reason to keep it from coming back.
    """
    blocking = [path for path in verdict.blocking if path not in known]
    if not blocking:
        return
    raise ConflictError(
        "deploy %s" % target.short,
        on="the schema that the database has",
        got="its code is older than the schema allows: %s %s applied and unknown to it; nothing was changed"
        % (names(blocking), "are" if len(blocking) > 1 else "is"),
        next_step="deploy a commit that knows them, or correct the code and deploy forward; ask the Backend "
        "Lead whether a migration is harmless for older code, and mark it so then",
        kind="code_older_than_schema",
    )
