# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changing a bucket of backups by exactly one: the name of a new one, the seal of a proved one, its removal.

A backup is sealed by a file with its checksum beside it. It is written last, so that whoever finds it knows
that the whole of the object was read back.
"""

from __future__ import annotations

__metaclass__ = type

from datetime import datetime
from typing import Any, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import find_backup
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import (
    Rules,
    StoredObject,
    group_objects,
    is_sidecar,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import (
    ObjectFacts,
    S3Catalog,
    make_client,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_errors import explain
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_upload import refuse_existing

_SEAL = ".sha256"
# A run that is asked about was stopped lately: its backup is among the newest.
_LOOKS = 10


class _Others(S3Catalog):
    """The bucket as it would be without some of its objects."""

    def __init__(self, catalog: S3Catalog, without: List[str]) -> None:
        super().__init__(catalog.settings)
        self._without = without

    def objects(self) -> List[StoredObject]:
        """Return every other object under the prefix."""
        return [stored for stored in super().objects() if stored.key not in self._without]


class BackupBucket:
    """One bucket of backups, whose names follow `rules`."""

    def __init__(self, catalog: S3Catalog, rules: Rules) -> None:
        self.catalog, self.rules = catalog, rules
        # A write whose answer got lost may have worked: it is looked at, never repeated blindly.
        self._client = make_client(catalog.settings, attempts=1)

    def key_for(self, template: str, now: datetime) -> str:
        """Return the key of a backup that begins `now`: one that a restore finds, and that is free."""
        stamp = now.strftime(self.rules.timestamp_format)
        folder = self.rules.prefix[: self.rules.prefix.rfind("/") + 1]
        key = folder + template.replace("{timestamp}", stamp)
        named = [n for n in group_objects([StoredObject(key, 1, now)], self.rules) if n.matches]
        if "{timestamp}" not in template or [name.time for name in named] != [stamp]:
            raise UsageError(
                "name a backup",
                on="name: %s" % template,
                got="%s does not match the pattern, so no restore would find it" % key,
                next_step="correct the name or the pattern in the inventory; nothing was changed",
            )
        refuse_existing(self.catalog, key)
        refuse_existing(self.catalog, key + _SEAL)
        return key

    def seal(self, key: str, sha256: str) -> None:
        """Put the checksum beside a backup that was read back."""
        content = "%s  %s\n" % (sha256, key.rpartition("/")[2])
        try:
            self._client.put_object(
                Bucket=self.catalog.settings.bucket, Key=key + _SEAL, Body=content.encode()
            )
        except Exception as error:
            raise self._explain(error, "write the checksum beside the backup", key + _SEAL) from None

    def made_by(self, run: str) -> Dict[str, Any]:
        """Return the sealed backup that `run` has made, as a result tells it; empty when there is none."""
        return self._newest_of(run, sealed=True)

    def unproved_by(self, run: str) -> Dict[str, Any]:
        """Return what `run` has uploaded and did not live to read back; empty when there is nothing."""
        return self._newest_of(run, sealed=False)

    def _newest_of(self, run: str, *, sealed: bool) -> Dict[str, Any]:
        objects = self.catalog.objects()
        keys = {stored.key for stored in objects}
        ours = [o for o in objects if not is_sidecar(o.key) and (o.key + _SEAL in keys) is sealed]
        for stored in sorted(ours, key=lambda o: o.last_modified, reverse=True)[:_LOOKS]:
            facts = self._head(stored.key)
            if facts is not None and facts.metadata.get("run") == run:
                return {"key": facts.key, "size": facts.size, "etag": facts.etag, "run": run}
        return {}

    def discard(self, key: str, run: str) -> None:
        """Remove what `run` has put at `key` and could not prove; what is another's is left alone."""
        facts = self._head(key)
        if facts is not None and facts.metadata.get("run") == run:
            self._delete(key)
            self._delete(key + _SEAL)

    def remove(self, key: str, etag: str, run: str, *, check_mode: bool) -> Dict[str, Any]:
        """Delete the backup that `run` has made, and nothing else; gone already is success.

        Raises ConflictError when it is another object by now, or the only good backup.
        """
        facts = self._head(key)
        before = "%s: the backup of run %s\n" % (key, run) if facts else ""
        result: Dict[str, Any] = {
            "changed": facts is not None,
            "msg": "%s is removed" % key if facts else "%s is gone already" % key,
            "prediction": {"summary": "%s is deleted" % key if facts else "%s is gone already" % key},
            "diff": {"before": before, "after": ""},
        }
        if facts is None:
            return result
        self._refuse_other(facts, etag, run)
        result["prediction"]["kept"] = self._require_another(key)
        if not check_mode:
            self._delete(key)
            self._delete(key + _SEAL)
            if self._head(key) is not None:
                raise VerificationError(
                    "remove %s" % key,
                    got="the store took it, and the object is still there",
                    next_step="see whether the bucket keeps objects under a retention rule",
                )
        return result

    def _refuse_other(self, facts: ObjectFacts, etag: str, run: str) -> None:
        if facts.etag != etag or facts.metadata.get("run") != run:
            raise ConflictError(
                "remove %s" % facts.key,
                got="it is not the object that run %s has made" % run,
                next_step="leave it: somebody else's backup is there now; nothing was changed",
            )

    def _require_another(self, key: str) -> str:
        """Return the key of the backup that a restore would take without this one."""
        others = find_backup(_Others(self.catalog, [key, key + _SEAL]), self.rules)
        if others.chosen is None:
            raise ConflictError(
                "remove %s" % key,
                on=others.place,
                got="it is the only good backup",
                next_step="keep it until another good one is there; nothing was changed",
                kind="only_backup",
            )
        return others.chosen.key

    def _head(self, key: str) -> Optional[ObjectFacts]:
        try:
            return self.catalog.head(key)
        except OncallError as error:
            if error.kind == "missing":
                return None
            raise

    def _delete(self, key: str) -> None:
        try:
            self._client.delete_object(Bucket=self.catalog.settings.bucket, Key=key)
        except Exception as error:
            raise self._explain(error, "delete the object", key) from None

    def _explain(self, error: Exception, tried: str, key: str) -> OncallError:
        settings = self.catalog.settings
        made = explain(error, tried, "%s/%s" % (settings.bucket, key), settings.secrets)
        made.changed = made.kind != "denied"
        return made
