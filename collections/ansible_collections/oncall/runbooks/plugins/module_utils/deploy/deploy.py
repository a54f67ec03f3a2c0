# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module git_deploy: deploy a commit, or take a deployment back."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Callable, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy import receipt as receipts
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.checkout import CheckoutState, look
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.options import schema_of
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.propose import Past, judge_target
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.release import Release, diff, prediction
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import told_commit
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Verdict, require_allowed
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, UsageError

Clock = Callable[[], float]
Sleep = Callable[[float], None]


def deploy(
    params: Mapping[str, Any], *, check_mode: bool, clock: Clock = time.monotonic, sleep: Sleep = time.sleep
) -> Dict[str, Any]:
    """Deploy the commit `sha` (empty: the newest earlier deployment that the schema allows).

    Returns the module's result; in check mode nothing is written. Raises OncallError, whose `changed` says
    whether what was there before is in place.
    """
    git = Git(params["path"])
    state = look(git)
    schema = schema_of(params, git)
    past = Past.of(git, state, params, told_commit(git, params["running"]))
    made, verdict = judge_target(git, past, schema, params["sha"])
    if not made.sha:
        raise UsageError(
            "choose what to deploy",
            on=git.folder,
            got="; ".join([made.why, *made.passed_over]),
            next_step="name the commit: deploy_sha",
            kind="no_target",
        )
    target = git.commit(made.sha)
    if verdict is not None:
        require_allowed(verdict, target)
    too_new = schema.verdict(state.sha).blocking if schema else ()
    release = Release(git, params, state, target, too_new=too_new, clock=clock, sleep=sleep)
    return _result(
        release, verdict, check_mode, {"sha": target.sha, "why": made.why, "verified_before": made.verified}
    )


def undo(
    params: Mapping[str, Any], *, check_mode: bool, clock: Clock = time.monotonic, sleep: Sleep = time.sleep
) -> Dict[str, Any]:
    """Deploy again what was there before the deployment whose receipt is given, uncommitted files too.

    It may be what the incident came from, so it does not have to serve; that is for whoever looks next.
    """
    receipt = receipts.load(params["receipt"])
    git = Git(receipt.path)
    state = look(git)
    target = git.resolve(receipt.before)
    verdict = _verdict(params, git, target.sha)
    if verdict is not None:
        require_allowed(verdict, target, receipt.too_new)
    _require_same(git, state, receipt)
    kept = receipt.set_aside if not _is_back(state, receipt) else None
    release = Release(
        git, params, state, target,
        branch=_branch(git, receipt), bring=kept, must_serve=False, clock=clock, sleep=sleep,
    )  # fmt: skip
    return _result(
        release, verdict, check_mode, {"sha": target.sha, "why": "run %s took it out" % receipt.run}
    )


def _is_back(state: CheckoutState, receipt: receipts.Receipt) -> bool:
    """Whether the checkout already is what it was, as after an undo that was cut off behind its end."""
    files = receipt.set_aside.files if receipt.set_aside else ()
    return state.sha == receipt.before and tuple(state.uncommitted) == tuple(files)


def _require_same(git: Git, state: CheckoutState, receipt: receipts.Receipt) -> None:
    """A deployment after that one has to be taken back first, or it would be lost from sight."""
    if state.sha not in (receipt.target, receipt.before):
        raise ConflictError(
            "take the deployment of run %s back" % receipt.run,
            on=git.folder,
            got="%s is checked out, which that run did not deploy; nothing was changed" % state.commit.short,
            next_step="see who deployed it (git reflog), or deploy %s by name: deploy_sha"
            % receipt.before[:12],
            kind="deployed_since",
        )


def _branch(git: Git, receipt: receipts.Receipt) -> str:
    """Return the branch that was checked out, unless it has moved on or is gone."""
    if not receipt.branch:
        return ""
    tip = git.call("rev-parse", "--verify", "--quiet", "refs/heads/" + receipt.branch)
    return receipt.branch if tip.out.strip() == receipt.before else ""


def _verdict(params: Mapping[str, Any], git: Git, sha: str) -> Optional[Verdict]:
    schema = schema_of(params, git)
    return schema.verdict(sha) if schema else None


def _result(
    release: Release, verdict: Optional[Verdict], check_mode: bool, told: Mapping[str, Any]
) -> Dict[str, Any]:
    release.check()
    result: Dict[str, Any] = {
        "changed": release.needed,
        **told,
        "before": release.state.as_dict(),
        "prediction": prediction(release, verdict.as_dict() if verdict else None),
        "diff": diff(release),
        "evidence": release.evidence,
    }
    if not release.needed:
        same = diff(release)["before"]
        result["diff"] = {"before": same, "after": same}
        result["prediction"]["summary"] = "%s is deployed already" % release.target.short
        return result
    if check_mode:
        return result
    started = release.clock()
    way_back = release.carry_out().undo()
    if way_back:
        result["undo"] = way_back
    result["duration_s"] = round(release.clock() - started, 2)
    return result


def outcome(params: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what became of a deployment whose end nobody saw, as an `outcome` of the result."""
    git = Git(params["path"])
    receipt = receipts.find(params["private_dir"], params["run"], git.folder)
    state = look(git)
    if receipt is None:
        return {
            "state": "not_done",
            "summary": "run %s changed nothing in %s" % (params["run"], git.folder),
            "undo": None,
        }
    if receipt.phase == "undone" or (receipt.phase == "begun" and _is_back(state, receipt)):
        word = "undone" if receipt.phase == "undone" else "not_done"
        return {
            "state": word,
            "summary": "%s is what was there before that run" % state.commit.short,
            "undo": None,
        }
    word = "done" if receipt.phase == "done" else "half"
    said = "%s was deployed" if word == "done" else "the deployment of %s did not come to its end"
    return {"state": word, "summary": said % receipt.target[:12], "undo": receipt.undo()}
