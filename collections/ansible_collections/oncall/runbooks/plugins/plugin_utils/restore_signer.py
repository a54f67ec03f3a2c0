# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller does with its credentials for a job that has none: sign, and finish uploads."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_safety_copy import COMPLETE, UPLOAD
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_upload import PresignedUpload

_PARTS_AHEAD = 4  # URLs sent at once, so that a job does not wait for a look after each part


class Signer:
    """Answers what a job wants: URLs of the backup, URLs of a safety copy's parts, and its completion."""

    def __init__(self, catalog: S3Catalog, keys: Sequence[str], options: Mapping[str, Any]) -> None:
        self._catalog, self._keys = catalog, list(keys)
        self._expiry = int(options["url_expiry"])
        self._metadata = {"database": str(options["database"]).encode().hex(), "run": str(options["run"])}
        name = options.get("safety_name") or options["run"]
        self._safety_key = "%ssafety/%s.dump" % (options["prefix"], name)
        self._upload: Optional[PresignedUpload] = None
        self._completed = ""

    def __call__(self, wants: Sequence[str], state: Dict[str, Any]) -> Dict[str, str]:
        """Return a fresh URL for each object, and the answer to whatever else is wanted."""
        answers = {key: self._catalog.presign(key, self._expiry) for key in self._keys}
        for want in wants:
            if want == COMPLETE:
                answers[want] = self._complete(state["upload"])
            elif want.startswith(UPLOAD):
                first = int(want[len(UPLOAD) :])
                for number in range(first, first + _PARTS_AHEAD):
                    answers["%s%d" % (UPLOAD, number)] = self._begun().part_url(number, self._expiry)
        return answers

    def _begun(self) -> PresignedUpload:
        if self._upload is None:
            self._upload = PresignedUpload.begin(self._catalog, self._safety_key, self._metadata)
        return self._upload

    def _complete(self, said: Mapping[str, Any]) -> str:
        """Put the parts together (once) and return the copy's key and ETag."""
        if not self._completed:
            etags = {int(number): str(etag) for number, etag in said["etags"].items()}
            facts = self._begun().complete(etags, int(said["size"]))
            self._completed = "%s %s" % (facts.key, facts.etag)
            self._keys.append(facts.key)
        return self._completed

    def close(self) -> None:
        """Give up an upload that was begun and not completed: its parts would be paid for unseen."""
        if self._upload is not None and not self._completed:
            self._upload.abort()
