# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about a deployment: the checkout, what was deployed when, what runs, and the migrations."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.checkout import CheckoutState, look
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.migrations import Applied, read_applied
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.migrations_findings import (
    migrations_findings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.propose import Past, judge_target
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import running_sha, same_commit
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Schema
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.script import script_problem
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe, run_probes
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import span

CHECKS = (
    "deploy_checkout",
    "deploy_script",
    "deploy_recent",
    "deploy_running",
    "deploy_target",
    "migrations_state",
    "migrations_partial",
)
_LISTED = 10
Finding = Dict[str, Any]


def measure(params: Mapping[str, Any]) -> List[Finding]:
    """Return the findings of all CHECKS (those about migrations only where the project has some)."""
    wanted = CHECKS if params["migrations"] else CHECKS[:-2]
    try:
        git = Git(params["path"])
        found = list(_measured(params, git, look(git)))
    except OncallError as exc:
        found = [finding("deploy_checkout", "fail", exc.message, observed=exc.as_dict())]
    have = {one["check"] for one in found}
    text = "not measured: the checkout could not be read"
    return found + [finding(check, "unknown", text) for check in wanted if check not in have]


def _measured(params: Mapping[str, Any], git: Git, state: CheckoutState) -> Iterator[Finding]:
    asked = _asked(params)
    running = _resolved(git, asked["running"])
    past = Past.of(git, state, params, running)
    yield _checkout(git, state)
    yield _script(git, state, params["script"])
    yield _recent(git, state, past, params["recent_hours"])
    yield _running(state, running, asked["running"])
    applied, schema = _schema(git, params, asked)
    yield _target(git, past, schema, asked, params)
    if applied is not None and schema is not None:
        yield from migrations_findings(
            git, past, schema, applied, sha=running or state.sha, runs=bool(running)
        )
    elif params["migrations"]:
        yield finding(
            "migrations_state", "unknown", asked["applied"]["summary"], observed=asked["applied"]["observed"]
        )


def _asked(params: Mapping[str, Any]) -> Dict[str, Finding]:
    """Ask the service and the database at the same time; each answer as a finding of its own."""
    probes = [Probe(("running",), lambda: _ask_running(params), params["running"]["timeout"] + 1)]
    if params["migrations"]:
        probes.append(Probe(("applied",), lambda: _ask_applied(params), params["timeout"] * 2 + 1))
    return {found["check"]: found for found in run_probes(probes)}


def _ask_running(params: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        yield finding("running", "ok", "", observed={"sha": running_sha(params["running"])})
    except OncallError as exc:
        yield finding("running", "unknown", exc.message, observed=exc.as_dict())


def _ask_applied(params: Mapping[str, Any]) -> Iterator[Finding]:
    login = pg.Login.from_params(params, "oncall-deploy")
    try:
        applied = read_applied(login, params["database"], params["migrations"], params["timeout"])
    except OncallError as exc:
        yield finding("applied", "unknown", exc.message, observed=exc.as_dict())
        return
    yield finding("applied", "ok", "", observed={"applied": applied})


def _schema(git: Git, params: Mapping[str, Any], asked: Mapping[str, Finding]) -> Any:
    applied: Optional[Applied] = (asked.get("applied") or {"observed": {}})["observed"].get("applied")
    return applied, None if applied is None else Schema.of(git, params["migrations"], applied)


def _resolved(git: Git, told: Finding) -> str:
    """Return the full id of the commit that runs, "" when it is not known or not of this checkout."""
    if told["status"] != "ok":
        return ""
    try:
        return git.resolve(told["observed"]["sha"]).sha
    except OncallError:
        return ""


def _checkout(git: Git, state: CheckoutState) -> Finding:
    said = "%s is at %s, %s" % (git.folder, state.commit.short, state.where)
    files = state.uncommitted
    status = "ok"
    if files:
        status = "warn"
        said += "; %d uncommitted files, which a reset would lose: %s" % (len(files), _some(files))
    if not state.branch:
        status = "warn"
    if state.busy:
        status = "fail"
        said += "; %s is going on in it" % state.busy
    return finding(
        "deploy_checkout",
        status,
        said + ".",
        observed=dict(state.as_dict(), path=git.folder, uncommitted=files[:50]),
        expected={"clean": True, "busy": ""},
    )


def _some(names: List[str]) -> str:
    return ", ".join(names[:5]) + (" and %d more" % (len(names) - 5) if len(names) > 5 else "")


def _script(git: Git, state: CheckoutState, argv: List[str]) -> Finding:
    problem = script_problem(git, state.sha, argv)
    text = "%s: %s." % (argv[0], problem or "it is there and can be run")
    return finding(
        "deploy_script", "fail" if problem else "ok", text, observed={"script": argv, "problem": problem}
    )


def _recent(git: Git, state: CheckoutState, past: Past, hours: float) -> Finding:
    commits = git.ask("log", "-n", str(_LISTED), "--no-show-signature", "--format=%h %s", "HEAD").splitlines()
    age = None if past.since is None else max(0.0, time.time() - past.since)
    observed = {
        "sha": state.sha,
        "deployed_at": None
        if past.since is None
        else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(past.since)),
        "age_minutes": None if age is None else round(age / 60, 1),
        "verified": past.verified_now,
        "before": [entry.as_dict() for entry in past.before[:_LISTED]],
        "commits": commits,
    }
    if age is None:
        text = "When %s was deployed is not known: git keeps no log of HEAD here." % state.commit.short
        return finding("deploy_recent", "unknown", text, observed=observed)
    recent = age < hours * 3600
    text = "%s is checked out since %s%s." % (
        state.commit.short,
        span(age),
        ": what began since then may come from it" if recent else "",
    )
    return finding(
        "deploy_recent", "warn" if recent else "ok", text, observed=observed, expected={"hours": hours}
    )


def _running(state: CheckoutState, running: str, told: Finding) -> Finding:
    observed = {"running": running or told["observed"].get("sha"), "checkout": state.sha}
    if told["status"] != "ok":
        return finding(
            "deploy_running", "unknown", told["summary"], observed=dict(observed, **told["observed"])
        )
    if same_commit(running, state.sha):
        return finding(
            "deploy_running",
            "ok",
            "What runs is what is checked out, %s." % state.commit.short,
            observed=observed,
        )
    text = "What runs is %s, but %s is checked out: the last deployment did not come to its end." % (
        str(observed["running"])[:12],
        state.commit.short,
    )
    return finding("deploy_running", "fail", text, observed=observed, expected={"running": state.sha})


def _target(
    git: Git, past: Past, schema: Optional[Schema], asked: Mapping[str, Finding], params: Mapping[str, Any]
) -> Finding:
    if schema is None and params["migrations"]:
        text = "Which commit the schema allows is not known: %s" % asked["applied"]["summary"]
        return finding("deploy_target", "unknown", text)
    try:
        made, verdict = judge_target(git, past, schema, params["sha"])
    except OncallError as exc:
        return finding("deploy_target", "fail", exc.message, observed=exc.as_dict())
    observed = dict(made.as_dict(), verdict=verdict.as_dict() if verdict else None)
    if not made.sha:
        text = "There is nothing to go back to: %s%s." % (
            made.why,
            "".join("; " + p for p in made.passed_over),
        )
        return finding("deploy_target", "warn", text, observed=observed)
    if verdict is not None and not verdict.allowed:
        text = "%s %s is older than the schema allows: %s are applied and unknown to it." % (
            made.sha[:12],
            made.subject,
            ", ".join(verdict.blocking),
        )
        return finding("deploy_target", "warn", text, observed=observed)
    text = "%s %s can be deployed: %s, and the schema allows it." % (made.sha[:12], made.subject, made.why)
    return finding("deploy_target", "ok", text, observed=observed)
