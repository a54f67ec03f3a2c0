# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of a backup: its name, the credentials, the proof; and its removal."""

from __future__ import annotations

__metaclass__ = type

import os
from datetime import datetime, timezone
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_bucket import BackupBucket
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import Rules, size_text
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import TruncatedError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog, S3Settings
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction, new_run
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile
from ansible_collections.oncall.runbooks.plugins.plugin_utils.restore_driver import Driver
from ansible_collections.oncall.runbooks.plugins.plugin_utils.restore_signer import Signer

_BUCKET_OPTIONS = frozenset(S3Settings.__dataclass_fields__) | {
    "pattern",
    "timestamp_format",
    "before",
    "min_size",
    "max_age_hours",
    "name",
    "key",
    "etag",
    "url_expiry",
    "state",
}


class ActionModule(ControllerAction):
    """`oncall.runbooks.pg_backup_r2`."""

    MODULE = "oncall.runbooks.pg_backup_r2"
    SECRETS = frozenset({"access_key", "secret_key", "session_token", "login_password"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Make a backup or remove one, and return the result."""
        options["run"] = options["run"] or os.environ.get("ONCALL_RUN_ID") or new_run()
        RestoreOptions.from_params(options)  # what cannot be is refused before any system is asked
        # Neither `key` nor `before` chooses here: other backups are judged as they are.
        rules = Rules.from_options({**options, "key": "", "before": ""})
        bucket = BackupBucket(S3Catalog(S3Settings.from_options(options)), rules)
        if options["state"] == "removed":
            _require(options, "key", "etag")
            return bucket.remove(
                options["key"], options["etag"], options["run"], check_mode=bool(self._task.check_mode)
            )
        _require(options, "name")
        return self._make(bucket, options, task_vars)

    def _make(
        self, bucket: BackupBucket, options: Dict[str, Any], task_vars: Mapping[str, Any]
    ) -> Dict[str, Any]:
        made = bucket.made_by(options["run"])
        if made:
            return _made_already(made)
        left = options["take_up"] = _still_unproved(bucket, options["take_up"] or {})
        key = left.get("key") or bucket.key_for(options["name"], datetime.now(timezone.utc))
        arguments = {name: value for name, value in options.items() if name not in _BUCKET_OPTIONS}
        started: Dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=arguments, task_vars=dict(task_vars)
        )
        started.pop("invocation", None)  # ours says what was asked for
        if started.get("failed") or "foreseen" not in started:
            return started
        result = _foretold(bucket.rules.prefix, options, started.pop("foreseen"))
        if self._task.check_mode:
            return {**started, **result, "outcome": _outcome(bucket.unproved_by(options["run"]), options)}
        copy = self._drive(bucket, key, started["job"], options, str(task_vars.get("inventory_hostname", "")))
        if copy.get("failed"):
            return copy
        backup = copy.pop("copy")
        text = "%s is made, read back and proved: %s, %d rows"
        return {
            **result,
            **copy,
            "msg": text % (backup["key"], size_text(backup["size"]), backup["rows"]),
            "backup": backup,
            "undo": _undo({**backup, "run": left.get("run") or options["run"]}),
        }

    def _drive(
        self, bucket: BackupBucket, key: str, job: Dict[str, Any], options: Dict[str, Any], host: str
    ) -> Dict[str, Any]:
        """Follow the job to its end; whatever goes wrong, what it has put into the bucket is removed."""
        taken_up = options["take_up"]
        signer = Signer(bucket.catalog, [key] if taken_up else [], key, options)
        driver = Driver(
            self._low_level_execute_command,
            job,
            signer,
            renew_every=options["url_expiry"] / 3,
            progress=ProgressFile.from_environment(options["run"], host),
            what="backup",
        )
        try:
            result = driver.follow(options["timeout"])
            if not result.get("failed"):
                bucket.seal(result["copy"]["key"], result["copy"]["sha256"])
                return result
        except BaseException as error:
            left = _cleaned_up(bucket, signer, key, options["run"])
            if isinstance(error, OncallError):
                error.changed = bool(left)
            raise
        # What was to be taken up stays, unless it is the very thing that is wrong.
        spoiled = bool(taken_up) and result.get("error", {}).get("kind") == TruncatedError.kind
        if spoiled:
            bucket.discard(key, taken_up["run"])
        left = _cleaned_up(bucket, signer, key, options["run"])
        return {**result, "left_unchanged": not (left or spoiled), "warnings": [left] if left else []}

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether the bucket is as it was."""
        return {"left_unchanged": not error.changed}


def _cleaned_up(bucket: BackupBucket, signer: Signer, key: str, run: str) -> str:
    """Remove what is in the bucket of a backup that is not proved; return what could not be removed."""
    try:
        signer.close()
        if signer.begun:
            bucket.discard(key, run)
    except OncallError as error:
        return "%s may be in the bucket, and is not proved: %s" % (key, error.message)
    return ""


def _require(options: Mapping[str, Any], *names: str) -> None:
    missing = [name for name in names if not options[name]]
    if missing:
        raise UsageError(
            "back up %s" % options["database"],
            got="missing: " + ", ".join(missing),
            next_step="give these options; nothing was changed",
        )


def _foretold(prefix: str, options: Mapping[str, Any], foreseen: Dict[str, Any]) -> Dict[str, Any]:
    """Return what is the same before and after; the name's time is not, so it stays open."""
    name = prefix.rpartition("/")[0] + "/" + options["name"] if "/" in prefix else options["name"]
    summary = "a backup of %s (%s) becomes %s" % (options["database"], foreseen["size_text"], name)
    left = options["take_up"]
    if left:
        summary = "%s, which run %s uploaded, is read back and proved" % (left["key"], left["run"])
    return {
        "changed": True,
        "prediction": {"summary": summary, **foreseen},
        "data_loss": "none",
        "diff": {"before": "", "after": "%s: a backup of %s\n" % (name, options["database"])},
    }


def _still_unproved(bucket: BackupBucket, told: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what is to be taken up, if that is in the bucket; empty when a new backup has to be made."""
    found = bucket.unproved_by(str(told["run"])) if told.get("run") else {}
    return found if found.get("etag") == told.get("etag") else {}


def _made_already(made: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "changed": False,
        "msg": "%s was made by run %s already" % (made["key"], made["run"]),
        "prediction": {"summary": "%s is there already" % made["key"], "data_loss": "none"},
        "backup": made,
        "outcome": {"state": "done", "summary": "%s is in the bucket" % made["key"], "undo": _undo(made)},
    }


def _outcome(left: Mapping[str, Any], options: Mapping[str, Any]) -> Dict[str, Any]:
    """Say what became of a run that made no backup: nothing, or something that is not proved to be one."""
    if not left:
        return {"state": "not_done", "summary": "no backup by run %s is in the bucket" % options["run"]}
    text = "%s is in the bucket, and was not read back: to go on proves it, to take it back deletes it"
    return {"state": "unproved", "summary": text % left["key"], "undo": _undo(left), "backup": dict(left)}


def _undo(backup: Mapping[str, Any]) -> Dict[str, Any]:
    """Return how exactly this backup is taken back."""
    return {
        "summary": "delete %s, as long as another good backup is there" % backup["key"],
        "reversible": True,
        "role": "oncall.runbooks.backup",
        "entry_point": "take_undo",
        "args": {name: backup[name] for name in ("key", "etag", "run")},
    }
