# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One restore, from the first look to the switch; a failure before that leaves the live database alone."""

from __future__ import annotations

__metaclass__ = type

import threading
import time
from dataclasses import asdict, replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import (
    compare,
    inspect,
    inspect_loss,
    job_lock,
    job_result,
    load,
    load_session,
    switch,
    untouched,
    verify,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database as db
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import (
    DumpHeader,
    Event,
    Skipped,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_copy import DatabaseCopy
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import Sessions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress

_INDEX_JOBS_PER_JOB = 2  # index builds wait for the disk in turns: twice as many keep two cores busy
_CLEAN_UP_FOR = 20.0  # seconds to wait for a server that restarts, before leaving a leftover to the next run


class Source(Protocol):
    """Where the dump comes from."""

    size: int
    warnings: List[str]

    @property
    def skipped(self) -> List[Skipped]:
        """Statements of the dump that are not for this database."""

    def header(self) -> DumpHeader:
        """Read the head of the dump."""

    def events(self) -> Iterator[Event]:
        """Yield the whole dump."""

    def close(self) -> None:
        """End reading, from any thread."""


class Restore:
    """Runs one restore; `stop` may be called from another thread at any time before the switch."""

    def __init__(
        self,
        options: RestoreOptions,
        source: Source,
        progress: Progress,
        safety: Optional[DatabaseCopy] = None,
        hear: Callable[[], None] = lambda: None,
    ) -> None:
        self.options, self.source, self.progress = options, source, progress
        self._safety = safety
        self._hear = hear  # returns once the controller is heard, which still wants this
        self._deciding = threading.Lock()
        self._forbidden = False
        self.what = "finish the restore of %s" % options.database
        self.again = "the live database is untouched and what was made is removed; run the restore again"
        self.in_switch = False
        self.cleaning = False  # a clean-up that began is not interrupted any more
        self.left_behind = ""  # what a failure could not clean up, for the operator
        self._live_tables: Optional[List[str]] = None
        self._had_live: Optional[bool] = None  # known once something is done to the live database
        self._sessions: Optional[Sessions] = None
        self._loaded: Optional[load.Loaded] = None
        self._counts = verify.RowCounts()
        self._made = ""  # the database this run has made and not yet switched

    def forbid_switch(self) -> bool:
        """From now on no switch begins; False when one has begun, which takes a fraction of a second."""
        with self._deciding:
            self._forbidden = not self.in_switch
            return self._forbidden

    def stop(self) -> None:
        """Cancel everything that works for this restore."""
        self.source.close()
        if self._safety is not None:
            self._safety.stop()
        if self._sessions is not None:
            self._sessions.stop()

    def left_unchanged(self) -> bool:
        """Whether the live database is what it was: it was never touched, or a look shows it."""
        return self._had_live is None or untouched.proved(self.options, had_live=self._had_live)

    def run(self) -> Dict[str, Any]:
        """Restore as the options say and return the module's result; raises OncallError."""
        connection = self.options.login.connect()
        try:
            job_lock.acquire(connection, self.options.database)
            plan = self._inspect(connection)
            result = job_result.predicted(plan, self.options, self._loss)
            if self.options.check_mode or (plan.already and not self.options.force):
                return result
            began = time.monotonic()
            self._apply(connection, plan, result)
            result["duration_s"] = round(time.monotonic() - began, 3)
            return result
        finally:
            connection.close()

    def _inspect(self, connection: Any) -> inspect.Plan:
        self.progress.enter("inspect", "looking at the server and the head of the backup")
        header = self.source.header()
        plan = inspect.inspect(connection, self.options, header, self.source.size)
        if plan.live is not None and not plan.already:
            self._live_tables = compare.tables_of(self.options.login, self.options.database)
            compare.check_header(header, self.options, self._live_tables)
        self._loss = inspect_loss.measure(
            self.options.login, self.options.database, self.options.backup_at, time.time()
        )
        return plan

    def _apply(self, connection: Any, plan: inspect.Plan, result: Dict[str, Any]) -> None:
        for leftover in plan.remove:
            db.drop(connection, leftover, live=self.options.database, newborn=True)
        if self.options.in_place and plan.live is not None:
            result["safety_copy"] = self._drop_live(connection, plan)
        try:
            if plan.resume:
                self._made = plan.resume
                result["resumed"] = plan.resume
            else:
                result.update(self._fill(connection, plan))
            self._compare(result)
            if self.options.switch:
                result.update(self._switch(connection, plan))
            elif not plan.resume:
                result["undo"] = job_result.undo_beside(self.options)
        except BaseException as error:
            self.cleaning = True
            if not self.in_switch and not plan.resume:
                self._clean_up(disk_full=getattr(error, "kind", "") == "disk_full")
            if result.get("safety_copy"):
                raise job_result.without_live(self.options, result["safety_copy"], error) from error
            raise
        if result.get("safety_copy"):
            result["undo"] = job_result.undo_in_place(self.options, result["safety_copy"])
        result["durations_s"] = {**self.progress.durations}

    def _drop_live(self, connection: Any, plan: inspect.Plan) -> Dict[str, Any]:
        """Make room: the live database goes, once a copy of it is in the bucket and was read back."""
        if self._safety is None:
            raise AssertionError("safety is not there yet")
        copy = self._safety.make()
        self._hear()
        self._had_live = True
        db.drop_live(connection, self.options.database, confirmed=self.options.confirm_in_place)
        plan.live = None
        return copy

    def _mark(self, phase: str = "loading") -> marks.Mark:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        opts = self.options
        return marks.Mark(opts.run, opts.database, "restore", phase, opts.key, opts.etag, since, opts.who)

    def _fill(self, connection: Any, plan: inspect.Plan) -> Dict[str, Any]:
        name = self.options.restored_name
        self.progress.enter("create", "creating %s" % name)
        self._made = name
        db.create(connection, name, plan.shape, self._mark())
        self._load(plan, name)
        if plan.shape is not None:
            db.dress(connection, name, plan.shape)
        checked = self._verify(name)
        marks.set_mark(connection, name, self._mark("verified"))
        return checked

    def _load(self, plan: inspect.Plan, name: str) -> None:
        jobs = self.options.jobs
        index_jobs = jobs * _INDEX_JOBS_PER_JOB
        settings = load_session.session_settings(load_session.free_memory(), index_jobs, plan.facts.version)
        self._sessions = Sessions(self.options.login, name, settings)
        self.progress.total = self.source.size
        self.progress.enter("load")
        loader = load.Loader(
            self._sessions, self.progress, jobs=jobs, index_jobs=index_jobs, follow=self._counts.tasks
        )
        self._loaded = loader.load(self.source.events())

    def _verify(self, name: str) -> Dict[str, Any]:
        if self._sessions is None:
            raise AssertionError("sessions is not there yet")
        if self._loaded is None:
            raise AssertionError("loaded is not there yet")
        self.progress.enter("verify", "comparing rows, looking at constraints and indexes")
        counted = self._counts.check(self._loaded)
        connection = self.options.login.connect(name)
        try:
            verify.check_integrity(connection, self._loaded)
            checks = verify.run_checks(connection, self.options.checks)
            size = pg.value(connection, "SELECT pg_database_size(current_database())")
        finally:
            connection.close()
        self._sessions.close_all()
        result = job_result.verified(self._loaded, counted, checks, int(size))
        result["load_warnings"] += self.source.warnings
        result["left_out"] = [asdict(skipped) for skipped in self.source.skipped]
        return result

    def _compare(self, result: Dict[str, Any]) -> None:
        """Hold what was restored against the live database, in the last moment when both are there."""
        self.progress.note = "comparing with the live database"
        counted = result.get("tables") or {}
        found = compare.compare(self.options, self._made, counted, self._live_tables)
        result["comparison"] = found
        result["warnings"] += compare.warnings(found)

    def _switch(self, connection: Any, plan: inspect.Plan) -> Dict[str, Any]:
        opts = self.options
        self.progress.enter("switch", "renaming %s to %s" % (self._made, opts.database))
        live = marks.find(connection, opts.database)
        mark = replace(self._mark("switched"), role="live")
        renames = switch.forward(opts.database, self._made, opts.before_name, mark, live)
        if live is not None:  # else there is nothing to lose by it
            self._hear()
        self._begin_switch()
        if self._had_live is None:
            self._had_live = live is not None
        window, ended = self._swap(renames)
        try:
            switch.answers(opts.login, opts.database)
        except OncallError:
            back = [switch.Rename(opts.database, self._made, self._mark("verified"))]
            if live is not None:
                back.append(switch.Rename(opts.before_name, opts.database, live.mark))
            switch.swap(opts.login, back, timeout=opts.switch_timeout)
            self.left_behind = "%s is kept: it is whole, and the next restore takes it up" % self._made
            raise
        self.progress.enter("done", "%s is restored" % opts.database)
        return job_result.switched(plan, opts, window, ended)

    def _begin_switch(self) -> None:
        """From here an abort waits; one that came before, by however little, has forbidden the switch."""
        with self._deciding:
            if self._forbidden:
                raise OncallError(
                    "put %s in service" % self._made,
                    got="the restore was stopped this moment",
                    next_step="the live database is untouched; run the restore again",
                    kind="aborted",
                )
            self.in_switch = True

    def _swap(self, renames: List[switch.Rename]) -> Tuple[float, int]:
        """Switch; a connection that broke during the commit leaves it open what happened, so look."""
        began = time.monotonic()
        try:
            return switch.swap(self.options.login, renames, timeout=self.options.switch_timeout)
        except BaseException as error:
            gone = getattr(error, "kind", "") == "server_gone"
            if gone and untouched.is_of(untouched.live_mark(self.options), self.options.run):
                return round((time.monotonic() - began) * 1000, 1), 0
            self.in_switch = False
            raise

    def _clean_up(self, disk_full: bool = False) -> None:
        """Drop what this run made; what cannot be dropped now carries its mark for the next run."""
        if self._sessions is not None:
            self._sessions.stop()
            self._sessions.close_all()
        if not self._made:
            return
        try:
            connection = untouched.patiently(self.options.login.connect, _CLEAN_UP_FOR)
            try:
                if self.options.keep_failed:
                    marks.set_mark(connection, self._made, self._mark("failed"))
                else:
                    if disk_full:
                        db.empty(self.options.login, self._made, live=self.options.database)
                    db.drop(connection, self._made, live=self.options.database, newborn=True)
            finally:
                connection.close()
        except (OncallError, pg.Error) as error:
            self.left_behind = "%s could not be dropped now (%s); the next restore of %s removes it" % (
                self._made,
                " ".join(str(error).split()),
                self.options.database,
            )
