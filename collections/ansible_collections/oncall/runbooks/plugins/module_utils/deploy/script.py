# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the project's own deploy script with the commit pinned, and see that it kept to it."""

from __future__ import annotations

__metaclass__ = type

import os
import shutil
import time
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import (
    CommandMissingError,
    TooLateError,
    run,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import write_evidence
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub_people

_MAX_OUTPUT = 512 * 1024
_EXCERPT = 400


class ScriptError(OncallError):
    """The deploy script is not there, failed, or did not end."""

    kind = "deploy_script"


def script_problem(git: Git, sha: str, argv: Sequence[str]) -> str:
    """Return why the script of a commit cannot be run, "" when it can."""
    program = argv[0]
    if os.path.isabs(program):
        return "" if os.access(program, os.X_OK) else "there is no such program on this host"
    if "/" not in program:
        return "" if shutil.which(program) else "there is no such program on PATH"
    mode = git.mode(sha, os.path.normpath(program))
    if not mode:
        return "the commit %s has no such file" % sha[:12]
    return "" if mode in ("100755", "120000") else "it cannot be executed in the commit %s" % sha[:12]


def require_script(git: Git, sha: str, argv: Sequence[str]) -> None:
    """Raise UsageError when the commit has no script that could be run."""
    problem = script_problem(git, sha, argv)
    if problem:
        raise UsageError(
            "deploy %s" % sha[:12],
            on=" ".join(argv),
            got="%s; nothing was changed" % problem,
            next_step="choose a commit that has it, or set deploy_script to what deploys this project",
            kind="no_deploy_script",
        )


def run_script(git: Git, sha: str, params: Mapping[str, Any], folder: str, log: List[Dict[str, Any]]) -> None:
    """Run the script for `sha`, as the owner of the checkout; its output is added to `log` as evidence.

    `folder` is where the output is kept, "" to return it. Raises ScriptError when it is missing, fails or
    hangs, and VerificationError when it made the checkout another commit.
    """
    argv, limit = params["script"], params["script_timeout"]
    started = time.monotonic()
    try:
        done = run(
            argv,
            timeout=limit,
            max_output=_MAX_OUTPUT,
            merge=True,
            prepare=git.owner.become(),
            environment=git.owner.environment(**{params["sha_variable"]: sha}),
            folder=git.folder,
        )
        said, ended = done.out, "exit code %d" % done.rc if done.rc else ""
    except TooLateError as exc:
        said, ended = exc.said, "it had not ended after %g s, and was ended with all its processes" % limit
    except (CommandMissingError, OSError) as exc:
        said, ended = "", "it could not be started: %s" % (getattr(exc, "got", "") or exc)
    log.append(_evidence(sha, scrub_people(said), folder, time.monotonic() - started))
    if ended:
        raise _failed(argv, sha, ended, scrub_people(said), log[-1].get("path", ""))
    _same_head(git, argv, sha)


def _evidence(sha: str, text: str, folder: str, seconds: float) -> Dict[str, Any]:
    entry = {
        "name": "deploy-%s.log" % sha[:12],
        "summary": "what the deploy script said in %.1f s" % seconds,
    }
    return write_evidence(entry, text, folder)


def _failed(argv: Sequence[str], sha: str, ended: str, said: str, kept: str) -> ScriptError:
    last = " ".join(said.split())[-_EXCERPT:]
    return ScriptError(
        "deploy %s" % sha[:12],
        on=" ".join(argv),
        got="%s%s" % (ended, "; it said last: %s" % last if last else ""),
        next_step="read what it said%s, and run it by hand once its cause is gone"
        % (" in %s" % kept if kept else ""),
    )


def _same_head(git: Git, argv: Sequence[str], sha: str) -> None:
    """A script that pulls would deploy the bad commit again, and everybody would think it is gone."""
    now = git.commit("HEAD")
    if now.sha != sha:
        raise VerificationError(
            "deploy %s" % sha[:12],
            on=" ".join(argv),
            got="the script changed the checkout to %s: it pulls or resets by itself, so what it deployed is "
            "not what was asked for" % now.short,
            next_step="have the script deploy what is checked out, or the commit in its pinned variable",
            kind="head_moved",
        )
