# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A multipart upload whose parts a target sends through presigned URLs: the way of a copy to the bucket.

The controller begins, completes and aborts it; nothing of it is visible in the bucket before it is complete.
"""

from __future__ import annotations

__metaclass__ = type

from typing import Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import (
    ObjectFacts,
    S3Catalog,
    make_client,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_errors import explain

# All parts but the last must have this size on some stores; 10,000 parts of it are 312 GiB.
PART_SIZE = 32 * 1024 * 1024  # bytes
MAX_PARTS = 10_000


class PresignedUpload:
    """One upload under way to `key`; begin it with `begin`, then `complete` or `abort` it."""

    def __init__(self, catalog: S3Catalog, key: str, upload_id: str) -> None:
        self.catalog, self.key, self.upload_id = catalog, key, upload_id
        # A write whose answer got lost may have worked: it is looked at, never repeated blindly.
        self._client = make_client(catalog.settings, attempts=1)

    @classmethod
    def begin(cls, catalog: S3Catalog, key: str, metadata: Mapping[str, str]) -> "PresignedUpload":
        """Begin an upload to `key`, which must not exist yet, and return it."""
        refuse_existing(catalog, key)
        upload = cls(catalog, key, "")
        place = {"Bucket": catalog.settings.bucket, "Key": key}
        try:
            answer = upload._client.create_multipart_upload(**place, Metadata=dict(metadata))
        except Exception as error:
            raise upload._explain(error, "begin the upload") from None
        upload.upload_id = answer["UploadId"]
        return upload

    def part_url(self, number: int, expires: int) -> str:
        """Return the URL to PUT part `number` (from 1) to, valid for `expires` seconds. It is a secret."""
        if not 1 <= number <= MAX_PARTS:
            raise OncallError("upload part %d" % number, on=self.key, got="only 1 to %d exist" % MAX_PARTS)
        parameters = {"Key": self.key, "UploadId": self.upload_id, "PartNumber": number}
        return self.catalog.presigned("upload_part", parameters, expires)

    def complete(self, etags: Mapping[int, str], size: int) -> ObjectFacts:
        """Put the parts together and return what the store then holds; `etags` are those of the parts.

        Fails unless the object has `size` bytes: only then is it a copy to rely on.
        """
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        if not parts or [p["PartNumber"] for p in parts] != list(range(1, len(parts) + 1)):
            raise VerificationError(
                "complete the upload",
                on=self.key,
                got="parts are missing (there are %s)" % ", ".join(str(n) for n in sorted(etags)),
                next_step="upload it again; nothing was changed",
            )
        refuse_existing(self.catalog, self.key)  # somebody else's, made meanwhile, would be lost
        try:
            self._client.complete_multipart_upload(**self._place(), MultipartUpload={"Parts": parts})
        except Exception as error:
            if not _exists(self.catalog, self.key):
                raise self._explain(error, "complete the upload") from None
        facts = self.catalog.head(self.key)
        if facts.size != size:
            raise VerificationError(
                "verify the copy",
                on=self.key,
                got="the store holds %d bytes, %d were sent" % (facts.size, size),
                next_step="do not rely on this copy; delete it and start again",
            )
        return facts

    def abort(self) -> None:
        """Give the upload up and remove its parts; gone already is fine."""
        try:
            self._client.abort_multipart_upload(**self._place())
        except Exception as error:
            made = self._explain(error, "abort the upload")
            if made.kind not in ("no_uploads", "missing"):
                raise made from None

    def _place(self) -> Dict[str, str]:
        return {"Bucket": self.catalog.settings.bucket, "Key": self.key, "UploadId": self.upload_id}

    def _explain(self, error: Exception, tried: str) -> OncallError:
        settings = self.catalog.settings
        on = "%s/%s" % (settings.bucket, self.key)
        return explain(error, tried, on, settings.secrets)


def refuse_existing(catalog: S3Catalog, key: str) -> None:
    """Raise ConflictError when there is an object of this name: nothing is ever written over another."""
    if _exists(catalog, key):
        raise ConflictError(
            "upload a copy",
            on=key,
            got="there is an object of this name already",
            next_step="choose another name; nothing was changed",
        )


def _exists(catalog: S3Catalog, key: str) -> bool:
    try:
        catalog.head(key)
    except OncallError as error:
        if error.kind == "missing":
            return False
        raise
    return True
