# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the backup to restore: list the bucket, judge, look into the choice, read its checksum.

The one path for everybody who needs a backup, so that what is reported as healthy is what a restore takes.
"""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import backup_peek
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_manifest import (
    LIMIT,
    Checksum,
    ManifestError,
    from_metadata,
    manifest_keys,
    read_manifest,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import (
    Rules,
    StoredObject,
    span_text,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_selection import (
    CLOCK_TOLERANCE,
    Candidate,
    Selection,
    reject,
    select,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog

# A look costs two short requests; when so many backups in a row are broken, the rest is for a human.
LOOKS = 20


@dataclass(frozen=True)
class Found:
    """The judgement on the bucket, and of the chosen backup its checksum and first bytes.

    `head` are the first bytes as stored (of a backup in directory format: of its toc.dat); `now` is the
    time by the store's clock; `warnings` concern the search as a whole.
    """

    selection: Selection
    place: str
    now: datetime
    checksum: Optional[Checksum] = None
    head: bytes = b""
    warnings: Tuple[str, ...] = ()

    @property
    def chosen(self) -> Optional[Candidate]:
        """The backup that a restore takes."""
        return self.selection.chosen

    @property
    def all_warnings(self) -> Tuple[str, ...]:
        """What the operator has to know, about the search and about the choice."""
        own = self.chosen.warnings if self.chosen else ()
        return (*self.warnings, *self.selection.warnings, *own)

    def require(self) -> Candidate:
        """Return the chosen backup; raises OncallError with the reasons when there is none."""
        if self.chosen is not None:
            return self.chosen
        reasons = ["%s: %s" % (r.key, r.reason) for r in self.selection.rejected[:3]]
        raise OncallError(
            "find a backup to restore",
            on=self.place,
            got="none of the %d objects looked at is a good one%s"
            % (len(self.selection.rejected), "; newest first: " + "; ".join(reasons) if reasons else ""),
            next_step="check bucket, prefix and pattern; to take one of these all the same, name it with key",
            kind="no_backup",
        )


def find_backup(catalog: S3Catalog, rules: Rules) -> Found:
    """Return the judgement on everything in the bucket; raises OncallError when it cannot be listed."""
    objects = catalog.objects()
    uploads, unknown = catalog.uploads()
    local = datetime.now(timezone.utc)
    now = catalog.server_time or local
    selection = select(objects, uploads, rules, now)
    selection, head = _look(catalog, selection, rules)
    found = Found(selection, catalog.place, now, head=head, warnings=_clock(now, local))
    if unknown:
        found = replace(found, warnings=(*found.warnings, unknown))
    if rules.key and selection.chosen is None:
        raise _key_error(selection, rules.key, catalog.place)
    return _with_checksum(catalog, found, {o.key: o for o in objects}, rules)


def _clock(now: datetime, local: datetime) -> Tuple[str, ...]:
    if abs(now - local) <= CLOCK_TOLERANCE:
        return ()
    return ("The controller's clock is %s off the store's." % span_text(now - local),)


def _key_error(selection: Selection, key: str, place: str) -> OncallError:
    against = next((r.reason for r in selection.rejected if r.key == key), "there is no such object")
    newest = selection.good[-1].key if selection.good else "none is good"
    return OncallError(
        "take the backup %s" % key,
        on=place,
        got=against,
        next_step="choose another key (newest good one: %s) or leave key out" % newest,
        kind="no_backup",
    )


def _look(catalog: S3Catalog, selection: Selection, rules: Rules) -> Tuple[Selection, bytes]:
    """Look into the chosen backup, and into the next older one as long as what is seen speaks against it."""
    for _look_number in range(LOOKS):
        chosen = selection.chosen
        if chosen is None:
            return selection, b""
        stored = _first_part(chosen)
        tail = 0 if chosen.directory else backup_peek.TAIL
        head, end = catalog.peek(stored, backup_peek.HEAD, max(1, tail))
        seen = _folder_problem(head) if chosen.directory else backup_peek.problem(head, end, stored.size)
        if not seen:
            return selection, head
        if rules.key:
            return replace(selection, chosen=chosen.with_warning("%s: %s" % (chosen.key, seen))), head
        selection = reject(selection, chosen, "content", seen)
    return replace(selection, chosen=None), b""


def _first_part(candidate: Candidate) -> StoredObject:
    return next((p for p in candidate.parts if p.key.endswith("/toc.dat")), candidate.parts[0])


def _folder_problem(head: bytes) -> str:
    return "" if head.startswith(b"PGDMP") else "its toc.dat is no table of contents of pg_dump"


def _with_checksum(
    catalog: S3Catalog, found: Found, objects: Mapping[str, StoredObject], rules: Rules
) -> Found:
    """Add the checksum of the chosen backup; one whose stated size is another is turned down."""
    chosen = found.chosen
    if chosen is None or chosen.directory:
        return found
    checksum, warnings = _checksum(catalog, chosen.key, objects)
    found = replace(found, checksum=checksum, warnings=(*found.warnings, *warnings))
    if checksum is None or checksum.size in (None, chosen.size):
        return found
    reason = "%s says that it has %d bytes, but it has %d" % (
        checksum.source,
        checksum.size or 0,
        chosen.size,
    )
    if rules.key:
        warned = replace(found.selection, chosen=chosen.with_warning("%s: %s" % (chosen.key, reason)))
        return replace(found, selection=warned)
    selection, head = _look(catalog, reject(found.selection, chosen, "checksum", reason), rules)
    again = replace(found, selection=selection, head=head, checksum=None)
    return _with_checksum(catalog, again, objects, rules)


def _checksum(
    catalog: S3Catalog, key: str, objects: Mapping[str, StoredObject]
) -> Tuple[Optional[Checksum], List[str]]:
    warnings: List[str] = []
    for source, algorithm in manifest_keys(key):
        stored = objects.get(source)
        if stored is None:
            continue
        try:
            content = _manifest_content(catalog, stored)
            checksum = read_manifest(content, source, algorithm, key)
        except ManifestError as error:
            warnings.append("The checksum beside the backup is not used: %s." % error)
            continue
        if checksum is not None:
            return checksum, warnings
    facts = catalog.head(key)
    found = from_metadata(facts.metadata, facts.checksums, key)
    run = facts.metadata.get("run", "")
    if found is None and run:
        text = "%s was uploaded by run %s, which did not live to read it back: `runbook resume %s` proves it"
        warnings.append(text % (key, run, run) + ", `runbook undo %s` deletes it." % run)
    return found, warnings


def _manifest_content(catalog: S3Catalog, stored: StoredObject) -> bytes:
    if not 0 < stored.size <= LIMIT:
        raise ManifestError("%s has %d bytes" % (stored.key, stored.size))
    return catalog.read(stored.key, 0, stored.size - 1, stored.etag)


def summary_of(found: Found) -> Dict[str, Any]:
    """Return the chosen backup for a result, with its checksum and its age in hours; empty when none."""
    if found.chosen is None:
        return {}
    age = (found.now - found.chosen.timestamp) / timedelta(hours=1)
    made = {**found.chosen.as_dict(), "age_hours": round(age, 2), "checksum": None}
    if found.checksum is not None:
        made["checksum"] = {
            "algorithm": found.checksum.algorithm,
            "value": found.checksum.value,
            "source": found.checksum.source,
        }
    return made
