# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which commit a rollback would deploy, and why."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.checkout import CheckoutState
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.history import (
    Deployed,
    earlier,
    read_ledger,
    reflog,
    since,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.receipt import Receipt, unfinished
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Schema, Verdict

_CANDIDATES = 20
_COMMITS = 200


@dataclass(frozen=True)
class Past:
    """What is known of deployments: since when HEAD is where it is, what was deployed before what runs, and
    the run that deployed HEAD and did not come to its end."""

    since: Optional[float]
    before: Tuple[Deployed, ...]
    verified_now: bool
    unfinished: Optional[Receipt] = None

    @classmethod
    def of(cls, git: Git, state: CheckoutState, params: Mapping[str, Any], running: str) -> Past:
        """Read ledger, reflog and receipts; `running` is the id of what runs, "" when nobody tells.

        What runs is what has to go, also where something else was checked out meanwhile.
        """
        ledger = params["ledger"]
        noted, moves = read_ledger(ledger, git.folder), reflog(git)
        there = [
            entry
            for entry in earlier(noted, moves, running or state.sha)
            if git.says_yes("cat-file", "-e", entry.sha)
        ]
        now = [entry for entry in noted if entry.sha == state.sha and entry.verified]
        known = [at for at in (since(moves, state.sha), now[0].at if now else None) if at is not None]
        left = unfinished(params["private_dir"], git.folder, state.sha)
        return cls(max(known) if known else None, tuple(there[:_CANDIDATES]), bool(now), left)


@dataclass(frozen=True)
class Proposal:
    """The commit to deploy (empty: none), why this one, and which were passed over and why."""

    sha: str
    subject: str
    why: str
    verified: bool = False
    passed_over: Tuple[str, ...] = ()

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        return dict(asdict(self), passed_over=list(self.passed_over))


def propose(git: Git, past: Past, schema: Optional[Schema]) -> Proposal:
    """Return the newest earlier deployment that the schema allows; those that were verified come first.

    `schema` is None where the project has no migrations.
    """
    passed: List[str] = []
    begun = past.unfinished
    first = [Deployed(begun.target, 0.0, begun.run)] if begun else []
    for entry in [*first, *past.before]:
        commit = git.commit(entry.sha)
        verdict = schema.verdict(entry.sha) if schema else None
        if verdict is not None and not verdict.allowed:
            passed.append("%s: applied and unknown to it: %s" % (commit.short, ", ".join(verdict.blocking)))
            continue
        why = (
            "the newest deployment before this one that was seen to serve"
            if entry.verified
            else "what was checked out before; nobody recorded that it served"
        )
        if begun is not None and entry.sha == begun.target:
            why = "run %s began to deploy it and did not come to its end" % begun.run
        return Proposal(commit.sha, commit.subject, why, entry.verified, tuple(passed))
    if passed:
        return Proposal("", "", "the schema allows none of the earlier deployments", False, tuple(passed))
    return Proposal("", "", "neither ledger nor reflog knows an earlier deployment")


def matching_commit(git: Git, past: Past, schema: Schema) -> str:
    """Return the newest commit whose code knows exactly what the database has, "" when there is none."""
    listed = git.ask("rev-list", "--date-order", "-n", str(_COMMITS), "HEAD", *schema.tips()).split()
    # What is checked out comes first, whatever is newer: it may be all that is left to deploy.
    here = git.ask("rev-parse", "HEAD").strip()
    return schema.newest_fit([here, *listed, *(entry.sha for entry in past.before)]) or ""


def judge_target(
    git: Git, past: Past, schema: Optional[Schema], asked: str
) -> Tuple[Proposal, Optional[Verdict]]:
    """Return what would be deployed (`asked`, else the proposal) and what the schema says of it.

    Raises UsageError when `asked` names no commit.
    """
    if not asked:
        made = propose(git, past, schema)
    else:
        commit = git.resolve(asked)
        known: Mapping[str, Deployed] = {entry.sha: entry for entry in past.before}
        verified = commit.sha in known and known[commit.sha].verified
        made = Proposal(commit.sha, commit.subject, "it was asked for", verified)
    verdict = schema.verdict(made.sha) if schema and made.sha else None
    return made, verdict
