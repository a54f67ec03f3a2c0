# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of a restore: choose the backup, keep the credentials, drive the job."""

from __future__ import annotations

__metaclass__ = type

import getpass
import os
import socket
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import (
    Found,
    find_backup,
    summary_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import Rules
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
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
    "key",
    "url_expiry",
    "safety_name",
}


class ActionModule(ControllerAction):
    """`oncall.runbooks.pg_restore_r2`."""

    MODULE = "oncall.runbooks.pg_restore_r2"
    SECRETS = frozenset({"access_key", "secret_key", "session_token", "login_password"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Restore, undo or release, and return what the target says."""
        if options.pop("backup", None) is not None:
            raise UsageError("use the option backup", next_step="leave it out: the plugin fills it in")
        options["run"] = options["run"] or os.environ.get("ONCALL_RUN_ID") or new_run()
        RestoreOptions.from_params(options)  # what cannot be is refused before any system is asked
        if options["state"] == "undone" and options["key"]:
            # It was in place: its undo is the safety copy, which may well have other tables than live now.
            # A second safety copy must not take the place of the first, which is what is restored.
            undone = {"allow_other_database": True, "safety_name": options["run"] + "-undo"}
            options.update(state="restored", **undone)
        if options["state"] != "restored":
            return self._module({**_for_target(options)}, task_vars)
        return self._restore(options, task_vars)

    def _restore(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        _require_bucket(options)
        catalog = S3Catalog(S3Settings.from_options(options))
        found = find_backup(catalog, Rules.from_options(options))
        chosen = found.require()
        backup = {
            "key": chosen.key,
            "etag": chosen.etag or chosen.parts[0].etag,
            "parts": [{"key": p.key, "size": p.size, "etag": p.etag} for p in chosen.parts],
            "directory": chosen.directory,
            "backup_at": chosen.timestamp.timestamp(),
            "checksum": summary_of(found).get("checksum"),
            "who": "%s@%s" % (getpass.getuser(), socket.gethostname()),
        }
        started = self._module({**_for_target(options), "backup": backup}, task_vars)
        if started.get("failed") or "job" not in started:
            return started
        copy_to = "%ssafety/%s.dump" % (options["prefix"], options.get("safety_name") or options["run"])
        signer = Signer(catalog, [part.key for part in chosen.parts], copy_to, options)
        driver = Driver(
            self._low_level_execute_command,
            started["job"],
            signer,
            renew_every=options["url_expiry"] / 3,
            progress=ProgressFile.from_environment(
                options["run"], str(task_vars.get("inventory_hostname", ""))
            ),
        )
        try:
            result = driver.follow(options["timeout"])
        except OncallError as error:  # the job could not say how it ended: look
            error.changed = not self._left_unchanged(options, task_vars)
            raise
        finally:
            signer.close()
        return _complete(result, found, options)

    def _left_unchanged(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> bool:
        seen = self._module({**_for_target(options), "backup": {"look": True}}, task_vars)
        return bool(seen.get("left_unchanged"))

    def about_failure(self, _error: OncallError) -> Dict[str, Any]:
        """Say whether the live database is as it was; also of what failed before the target was asked."""
        return {"left_unchanged": not _error.changed}

    def _module(self, arguments: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        result: Dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=arguments, task_vars=dict(task_vars)
        )
        result.pop("invocation", None)  # ours says what was asked for, without what the target was told
        return result


def _for_target(options: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _BUCKET_OPTIONS}


def _require_bucket(options: Mapping[str, Any]) -> None:
    missing = [name for name in ("bucket", "pattern") if not options[name]]
    if missing:
        raise UsageError(
            "restore %s" % options["database"],
            got="missing: " + ", ".join(missing),
            next_step="say which bucket holds the backups and how their names look",
        )


def _complete(result: Dict[str, Any], found: Found, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Add to the target's result what only the controller knows."""
    backup = summary_of(found)
    backup["rejected"] = [rejected.as_dict() for rejected in found.selection.rejected]
    warnings = [*result.get("warnings", []), *result.pop("load_warnings", []), *found.all_warnings]
    if backup["age_hours"] > options["max_age_hours"]:
        warnings.append(
            "the backup is %.1f h old, more than %g h" % (backup["age_hours"], options["max_age_hours"])
        )
    return {**result, "backup": backup, "warnings": warnings, "run": options["run"]}
