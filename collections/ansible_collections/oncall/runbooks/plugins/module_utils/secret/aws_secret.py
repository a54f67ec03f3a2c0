# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A secret in AWS Secrets Manager, as a whole or under one key of a JSON object."""

from __future__ import annotations

__metaclass__ = type

import json
import uuid
from typing import Any, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.aws import Aws
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.base import Destination, Receipt


class AwsSecret(Destination):
    """AWS keeps the version before as AWSPREVIOUS: putting it back moves the stage AWSCURRENT."""

    kind = "aws_secrets_manager"
    keeps_old = True

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._aws = Aws(options, "secretsmanager")
        self._id, self._key = str(options["secret_id"]), str(options.get("key") or "")

    @property
    def place(self) -> str:
        return "%s in AWS Secrets Manager" % (self._id + ("." + self._key if self._key else ""))

    def current(self) -> Optional[str]:
        return self._value(self._read())

    def old_of(self, receipt: Receipt) -> Optional[str]:
        return self._value(self._call("get_secret_value", "read the secret", VersionId=receipt["from"]))

    def store(self, value: str) -> Receipt:
        before = self._read()
        content = value
        if self._key:
            content = json.dumps({**self._object(before), self._key: value})
        # The token makes a request that AWS got twice one version.
        token = str(uuid.uuid4())
        made = self._call(
            "put_secret_value", "write the secret", SecretString=content, ClientRequestToken=token
        )
        after = self._read()
        if after["VersionId"] != made["VersionId"]:
            raise VerificationError(
                "write the secret",
                on=self.place,
                got="another version is the current one",
                next_step="see who else changes this secret",
            )
        return {"from": before["VersionId"], "to": made["VersionId"]}

    def put_back(self, old: str, receipt: Receipt) -> None:  # noqa: ARG002 - AWS has the old value itself
        now = self._read()["VersionId"]
        if now == receipt["from"]:
            return
        if now != receipt["to"]:
            raise ConflictError(
                "put the secret back",
                on=self.place,
                got="it was changed again since then",
                next_step="see who changed it; nothing was changed now",
            )
        self._call(
            "update_secret_version_stage",
            "put the secret back",
            VersionStage="AWSCURRENT",
            MoveToVersionId=receipt["from"],
            RemoveFromVersionId=receipt["to"],
        )

    def forget(self, receipt: Receipt) -> None:
        self._call(
            "update_secret_version_stage",
            "take the label AWSPREVIOUS from the old secret",
            VersionStage="AWSPREVIOUS",
            RemoveFromVersionId=receipt["from"],
        )

    def _read(self) -> Dict[str, Any]:
        return self._call("get_secret_value", "read the secret", VersionStage="AWSCURRENT")

    def _call(self, operation: str, tried: str, **arguments: Any) -> Dict[str, Any]:
        return self._aws.call(operation, tried, self.place, SecretId=self._id, **arguments)

    def _value(self, version: Mapping[str, Any]) -> Optional[str]:
        if not self._key:
            return str(version["SecretString"])
        found = self._object(version).get(self._key)
        return None if found is None else str(found)

    def _object(self, version: Mapping[str, Any]) -> Dict[str, Any]:
        try:
            loaded = json.loads(version["SecretString"])
        except (KeyError, ValueError):
            loaded = None
        if isinstance(loaded, dict):
            return loaded
        raise UsageError(
            "read the secret",
            on=self.place,
            got="it is no JSON object",
            next_step="leave out destination.key, or name another secret",
        )
