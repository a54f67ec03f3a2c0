# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller does with its credentials for a job that has none: sign, and finish uploads."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_copy import COMPLETE, UPLOAD
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import ObjectFacts, S3Catalog
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_upload import PresignedUpload

_PARTS_AHEAD = 4  # URLs sent at once, so that a job does not wait for a look after each part


class Signer:
    """Answers what a job wants: URLs of the backup, URLs of a copy's parts, and its completion.

    `upload_key` is where a copy goes, should the job make one.
    """

    def __init__(
        self, catalog: S3Catalog, keys: Sequence[str], upload_key: str, options: Mapping[str, Any]
    ) -> None:
        self._catalog, self._keys, self._upload_key = catalog, list(keys), upload_key
        self._expiry = int(options["url_expiry"])
        self._metadata = {"database": str(options["database"]).encode().hex(), "run": str(options["run"])}
        self._upload: Optional[PresignedUpload] = None
        self._completed: Optional[ObjectFacts] = None

    @property
    def begun(self) -> bool:
        """Whether anything of a copy may be in the bucket."""
        return self._upload is not None

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
            self._upload = PresignedUpload.begin(self._catalog, self._upload_key, self._metadata)
        return self._upload

    def _complete(self, said: Mapping[str, Any]) -> str:
        """Put the parts together (once) and return the copy's key and ETag."""
        if self._completed is None:
            etags = {int(number): str(etag) for number, etag in said["etags"].items()}
            self._completed = self._begun().complete(etags, int(said["size"]))
            self._keys.append(self._completed.key)
        return "%s %s" % (self._completed.key, self._completed.etag)

    def close(self) -> None:
        """Give up an upload that was begun and not completed: its parts would be paid for unseen."""
        if self._upload is not None and self._completed is None:
            self._upload.abort()
