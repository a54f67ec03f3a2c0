# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service of AWS as the controller reaches it: boto3 is imported here only, and only when it is used."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping, Tuple, Type

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
    UnreachableError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_errors import scrub

_KEYS = "set access_key and secret_key, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_WAY = "check endpoint_url, region and the network, and whether AWS reports an outage"
_CONNECT, _READ = 5, 20  # seconds

# Parts of an error code, in the order in which they are looked for -> class, next step.
_CODES: Tuple[Tuple[str, Type[OncallError], str], ...] = (
    ("AccessDenied", DeniedError, "give this identity the right to do it, or use another one"),
    ("NotAuthorized", DeniedError, "give this identity the right to do it, or use another one"),
    ("ExpiredToken", DeniedError, "get new temporary credentials and start again"),
    ("InvalidClientTokenId", DeniedError, _KEYS),
    ("UnrecognizedClient", DeniedError, _KEYS),
    ("SignatureDoesNotMatch", DeniedError, _KEYS),
    ("Throttling", UnreachableError, "wait a minute and run it again: AWS limits the requests"),
    ("TooManyRequests", UnreachableError, "wait a minute and run it again: AWS limits the requests"),
    ("RequestLimitExceeded", UnreachableError, "wait a minute and run it again: AWS limits the requests"),
    ("NotFound", UsageError, "correct the name, the account or the region"),
    ("ResourceExists", ConflictError, "see who changed it meanwhile"),
    ("InvalidTarget", UsageError, "correct the targets: AWS does not take them"),
)
_EXCEPTIONS: Dict[str, Tuple[Type[OncallError], str]] = {
    "NoCredentialsError": (UsageError, _KEYS),
    "PartialCredentialsError": (UsageError, "set both access_key and secret_key"),
    "ProfileNotFound": (UsageError, "check the profile's name in the AWS configuration"),
    "NoRegionError": (UsageError, "set region"),
    "ParamValidationError": (UsageError, "correct the option"),
    "HTTPClientError": (UnreachableError, _WAY),
    "EndpointConnectionError": (UnreachableError, _WAY),
    "ResponseParserError": (UnreachableError, _WAY),
}


class Aws:
    """One service of one account; every failure is an OncallError without a secret in it."""

    def __init__(self, options: Mapping[str, Any], service: str) -> None:
        self._options, self._service = options, service
        self._secrets = [
            str(options.get(name) or "") for name in ("access_key", "secret_key", "session_token")
        ]
        self._made: Any = None

    def call(self, operation: str, tried: str, on: str, **arguments: Any) -> Dict[str, Any]:
        """Return the answer of one operation (boto3's name of it)."""
        try:
            self._made = self._made or _client(self._options, self._service)
            answer: Dict[str, Any] = getattr(self._made, operation)(**arguments)
        except OncallError:
            raise
        except Exception as exc:
            raise self._explained(exc, tried, on) from None
        return answer

    def _explained(self, exc: Exception, tried: str, on: str) -> OncallError:
        response = getattr(exc, "response", None)
        if isinstance(response, dict) and "Error" in response:
            code = str(response["Error"].get("Code", ""))
            got = "AWS answered %s: %s" % (code, response["Error"].get("Message", ""))
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            for part, made, next_step in _CODES:
                if part in code:
                    return made(tried, on=on, got=scrub(got, self._secrets), next_step=next_step, kind=code)
            made = UnreachableError if status >= 500 else OncallError
            return made(tried, on=on, got=scrub(got, self._secrets), next_step=_WAY, kind=code or "aws")
        got = scrub("%s: %s" % (type(exc).__name__, exc), self._secrets)
        for cls in type(exc).__mro__:
            if cls.__name__ in _EXCEPTIONS:
                made, next_step = _EXCEPTIONS[cls.__name__]
                return made(tried, on=on, got=got, next_step=next_step)
        return OncallError(tried, on=on, got=got, next_step=_WAY)


def _client(options: Mapping[str, Any], service: str) -> Any:
    try:
        import boto3  # noqa: PLC0415 - half a second of import, and only the controller has it
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as exc:
        raise OncallError(
            "talk to AWS",
            got="the Python package boto3 is not installed on the controller (%s)" % exc,
            next_step="install boto3 for the Python that runs Ansible: python3 -m pip install boto3",
            kind="missing_dependency",
        ) from exc
    text = {name: str(options.get(name) or "") or None for name in _SESSION.values()}
    session = boto3.session.Session(**{theirs: text[ours] for theirs, ours in _SESSION.items()})
    retries = {"mode": "standard", "total_max_attempts": 3}
    config = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries=retries)
    return session.client(service, endpoint_url=str(options.get("endpoint_url") or "") or None, config=config)


# boto3's name of an argument -> our option.
_SESSION = {
    "aws_access_key_id": "access_key",
    "aws_secret_access_key": "secret_key",
    "aws_session_token": "session_token",
    "region_name": "region",
    "profile_name": "profile",
}
