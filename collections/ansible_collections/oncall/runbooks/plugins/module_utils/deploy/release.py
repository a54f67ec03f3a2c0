# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploy another commit of a checkout, prove it, and put back what was there when it cannot be proved."""

from __future__ import annotations

__metaclass__ = type

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.aside import (
    Kept,
    bring_back,
    require_space,
    set_aside,
    show_hidden,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.checkout import (
    CheckoutState,
    require_quiet,
    require_room,
    switch,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Commit, Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.history import Deployed, note
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.ready import runs_already, wait_ready
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.receipt import Receipt, folder_for
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import require_told
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.script import require_script, run_script
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError


@dataclass
class Release:
    """One deployment of `target` in the checkout of `git`.

    `branch`: check out this branch (it points to the target), "" for a detached HEAD. `bring`: what an
    earlier run had set aside and that is put back before the script runs. `must_serve`: it only counts
    when the services are ready afterwards. `too_new`: migrations that what is there now does not know.
    """

    git: Git
    params: Mapping[str, Any]
    state: CheckoutState
    target: Commit
    branch: str = ""
    bring: Optional[Kept] = None
    must_serve: bool = True
    too_new: Tuple[str, ...] = ()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    evidence: List[Dict[str, Any]] = field(default_factory=list)
    _scripted: bool = False

    def check(self) -> None:
        """Raise when this cannot or must not be done; nothing was changed then."""
        require_quiet(self.git, self.state)
        require_told(self.params["running"])
        require_script(self.git, self.target.sha, self.params["script"])
        require_room(self.git, self.state, self.target)
        require_space(self.git, self.state)
        if not self.state.clean and self.params["uncommitted"] == "refuse":
            raise ConflictError(
                "change the checkout",
                on=self.git.folder,
                got="%d files are in no commit: %s"
                % (len(self.state.uncommitted), ", ".join(self.state.uncommitted[:10])),
                next_step="commit them, or set deploy_uncommitted to set_aside",
                kind="uncommitted",
            )

    @property
    def needed(self) -> bool:
        """Whether anything is to be done: another commit is checked out, or another one runs."""
        # What an undo brought back is uncommitted rightly.
        as_committed = not self.state.changed or not self.must_serve
        there = self.state.sha == self.target.sha and as_committed and self.bring is None
        return not (there and runs_already(self.params["running"], self.target.sha))

    def carry_out(self) -> Receipt:
        """Do it; returns what was there before. Raises OncallError, `changed` telling whether it still is."""
        run, private_dir = self.params["run"], self.params["private_dir"]
        kept = self._kept(run, private_dir)
        receipt = Receipt(
            run, self.git.folder, self.state.sha, self.state.subject, self.state.branch, self.target.sha,
            kept=kept.as_dict() if kept else None,
            too_new=self.too_new,
        )  # fmt: skip
        receipt.save(private_dir)
        try:
            receipt = self._forward(receipt, kept)
        except OncallError as exc:
            self._back(receipt, kept, exc)
            raise
        self._note(receipt)
        return receipt

    def _note(self, receipt: Receipt) -> None:
        made = Deployed(self.target.sha, time.time(), receipt.run, self.must_serve)
        try:
            note(self.params["ledger"], self.git.folder, made)
        except OncallError as exc:
            exc.changed, exc.undo = True, receipt.undo()
            raise

    def _kept(self, run: str, private_dir: str) -> Optional[Kept]:
        if self.state.clean:
            return None
        kept = set_aside(self.git, self.state, run, folder_for(private_dir, run))
        self.evidence.append(kept.evidence())
        return kept

    def _forward(self, receipt: Receipt, kept: Optional[Kept]) -> Receipt:
        private_dir = self.params["private_dir"]
        if kept:
            show_hidden(self.git, kept.hidden, {})
        switch(self.git, self.target.sha, branch=self.branch, force=kept is not None)
        if self.bring:
            bring_back(self.git, self.bring)
        receipt = receipt.at("scripted", private_dir)
        self._scripted = True
        run_script(
            self.git, self.target.sha, self.params, folder_for(private_dir, receipt.run), self.evidence
        )
        self._wait(self.target.sha, must_serve=self.must_serve)
        return receipt.at("done", private_dir)

    def _wait(self, sha: str, *, must_serve: bool) -> None:
        wait_ready(self.params, sha, must_serve=must_serve, clock=self.clock, sleep=self.sleep)

    def _back(self, receipt: Receipt, kept: Optional[Kept], exc: OncallError) -> None:
        """Put back what was there, and say in `exc` how far that went."""
        try:
            switch(self.git, self.state.sha, branch=self.state.branch, force=True)
            if kept:
                bring_back(self.git, kept)
            if self._scripted:
                folder = folder_for(self.params["private_dir"], receipt.run)
                run_script(self.git, self.state.sha, self.params, folder, self.evidence)
                self._wait(self.state.sha, must_serve=False)
            receipt.at("undone", self.params["private_dir"])
        except OncallError as second:
            exc.changed, exc.undo = True, receipt.undo()
            exc.got += ". What was there could not be deployed again: %s" % second.message
            return
        what = "was deployed again" if self._scripted else "is in place"
        exc.got += ". What was there before, %s, %s" % (self.state.commit.short, what)


def prediction(release: Release, verdict: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """Return what a release will do, in the keys of a result."""
    git, state, target = release.git, release.state, release.target
    gone = git.commits_between(target.sha, state.sha)
    come = git.commits_between(state.sha, target.sha)
    summary = "%s is deployed instead of %s" % (target.short, state.commit.short)
    if state.sha == target.sha:
        summary = "%s is deployed again: it is checked out, and something else runs" % target.short
    if not state.clean:
        summary += "; %d uncommitted files are kept on a branch and as a patch" % len(state.uncommitted)
    return {
        "summary": summary,
        "takes_out": [commit.short for commit in gone],
        "brings_in": [commit.short for commit in come],
        "uncommitted": state.uncommitted,
        "schema": verdict,
        "script": release.params["script"],
        "duration_s": None,
        "data_loss": "none; what is in no commit is kept",
    }


def diff(release: Release) -> Dict[str, str]:
    """Return before and after as texts, the same in check mode and for real."""
    state, target = release.state, release.target
    before = ["%s: %s (%s)" % (release.git.folder, state.commit.short, state.where)]
    before += ["uncommitted %s" % name for name in state.uncommitted]
    after = [
        "%s: %s (%s)"
        % (
            release.git.folder,
            target.short,
            "on " + release.branch if release.branch else "detached, on no branch",
        )
    ]
    after += ["kept     %s" % name for name in state.uncommitted]
    after += ["uncommitted %s" % name for name in (release.bring.files if release.bring else ())]
    return {"before": "\n".join(before) + "\n", "after": "\n".join(after) + "\n"}
