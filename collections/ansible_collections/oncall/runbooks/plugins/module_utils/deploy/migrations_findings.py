# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about migrations: current, behind, ahead or diverged, and what one of them left unfinished."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Iterator

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.migrations import Applied, State, judge
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.propose import Past, matching_commit
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Schema
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding

_ADVICE = {
    "behind": "they may be applied once, after a fresh backup",
    "ahead": "no migration may be run: deploy the code that belongs to this schema",
    "diverged": "this is for the Backend Lead: nothing here may be run by rote",
}


def migrations_findings(
    git: Git, past: Past, schema: Schema, applied: Applied, *, sha: str, runs: bool
) -> Iterator[Dict[str, Any]]:
    """Yield the findings `migrations_state` and `migrations_partial`.

    `sha` is the commit whose code is held against the database; `runs`: it is what really runs.
    """
    code = schema.code(sha)
    state = judge(code, schema.applied)
    commit = git.commit(sha)
    observed: Dict[str, Any] = {
        "state": state.word,
        "code": sha,
        "code_is": "what runs" if runs else "what is checked out",
        "pending": [m.path for m in state.pending],
        "destructive": [m.path for m in state.pending if schema.is_destructive(sha, m)],
        "extra": list(state.extra),
        "heads": code.heads,
        "matching": "",
    }
    harmless = state.word == "ahead" and schema.verdict(sha).allowed
    if state.word == "ahead":
        observed["matching"] = matching_commit(git, past, schema)
    yield finding(
        "migrations_state",
        "ok" if state.word == "current" else "warn" if harmless else "fail",
        _sentence(state, commit.short, observed, harmless),
        observed=dict(observed, harmless=harmless),
        expected={"state": "current"},
    )
    yield _partial(applied)


def _sentence(state: State, code: str, observed: Dict[str, Any], harmless: bool) -> str:
    text = "Held against %s (%s), %s" % (code, observed["code_is"], state.reason)
    if harmless:
        return text + "; those are marked as harmless for older code."
    if state.word == "ahead":
        fits = observed["matching"]
        text += "; %s knows exactly this schema" % fits[:12] if fits else "; no commit here knows this schema"
    advice = _ADVICE.get(state.word)
    return "%s%s." % (text, "; " + advice if advice else "")


def _partial(applied: Applied) -> Dict[str, Any]:
    broken = list(applied.invalid_indexes)
    text = "No migration left an index unfinished."
    if broken:
        text = "Indexes that were begun and never ended: %s. They cost writes and help nobody." % ", ".join(
            broken
        )
    return finding(
        "migrations_partial", "warn" if broken else "ok", text, observed={"invalid_indexes": broken}
    )
