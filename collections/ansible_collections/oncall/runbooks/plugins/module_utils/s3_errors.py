# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an object store or the way to it answered, said so that a tired reader knows what to do next."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Any, Dict, Iterable, Tuple, Type
from urllib.parse import urlsplit

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UnreachableError,
    UsageError,
)

_KEYS = "check the access key and the secret key (the store's own pair, not the token of another service)"
_ENDPOINT = "check endpoint_url and the network, and whether the store reports an outage"

# Error code of the store -> kind, class, what to do next. Codes with the same meaning differ by store.
_CODES: Dict[str, Tuple[str, Type[OncallError], str]] = {}


def _codes(kind: str, cls: Type[OncallError], next_step: str, *codes: str) -> None:
    for code in codes:
        _CODES[code] = (kind, cls, next_step)


_codes(
    "no_permission",
    DeniedError,
    "give this access key the right to list the bucket and to read its objects, or use another one",
    "AccessDenied",
    "AllAccessDisabled",
    "AccountProblem",
    "403",
)
_codes(
    "bad_credentials",
    DeniedError,
    _KEYS,
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "Unauthorized",
    "401",
)
_codes(
    "expired_credentials",
    DeniedError,
    "get new temporary credentials (access key, secret key and session token) and start again",
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
)
_codes(
    "clock_skew",
    DeniedError,
    "set the controller's clock (the store refuses a difference of more than 15 minutes)",
    "RequestTimeTooSkewed",
)
_codes(
    "bucket_missing",
    UsageError,
    "check the name of the bucket and the account in endpoint_url",
    "NoSuchBucket",
)
_codes(
    "missing", OncallError, "list the bucket again: it may have been deleted or renamed", "NoSuchKey", "404"
)
_codes(
    "replaced",
    OncallError,
    "start again: somebody has replaced this object meanwhile",
    "PreconditionFailed",
    "412",
)
# What some stores answer instead of an empty list.
_codes("no_uploads", OncallError, "", "NoSuchUpload")
_codes(
    "region",
    UsageError,
    "set region to the bucket's own (auto for Cloudflare R2)",
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "InvalidRegionName",
    "IllegalLocationConstraintException",
    "301",
)
_codes(
    "busy",
    UnreachableError,
    "wait a minute and try again: the store is busy or in trouble; if it stays so, check endpoint_url",
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "TooManyRequests",
)

# Classes of botocore by name, so that this file needs no botocore.
_EXCEPTIONS: Dict[str, Tuple[str, Type[OncallError], str]] = {
    "EndpointConnectionError": ("unreachable", UnreachableError, _ENDPOINT),
    "ConnectTimeoutError": ("unreachable", UnreachableError, _ENDPOINT),
    "ReadTimeoutError": ("unreachable", UnreachableError, _ENDPOINT),
    "ConnectionClosedError": ("unreachable", UnreachableError, _ENDPOINT),
    "HTTPClientError": ("unreachable", UnreachableError, _ENDPOINT),
    "ProxyConnectionError": ("unreachable", UnreachableError, "check the proxy variables of the environment"),
    "SSLError": ("tls", UnreachableError, "check endpoint_url (http or https) and the certificate authority"),
    "ResponseParserError": ("not_s3", UnreachableError, _ENDPOINT),
    "NoCredentialsError": (
        "no_credentials",
        UsageError,
        "set access_key and secret_key, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "PartialCredentialsError": ("no_credentials", UsageError, "set both access_key and secret_key"),
    "ProfileNotFound": ("no_credentials", UsageError, "check the profile's name in the AWS configuration"),
    "ParamValidationError": ("usage", UsageError, "correct the option"),
}


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without `secrets`, signatures and the query of any URL in it."""
    # What is shorter than four characters is no secret, and replacing it would only spoil the sentence.
    for secret in sorted((s for s in secrets if len(s) > 3), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(https?://[^\s?\"']+)\?[^\s\"']+", r"\1?***", text)
    return re.sub(r"(?i)((?:signature|credential|security-token)[=:]\s*)[^\s,&\"']+", r"\1***", text)


def explain(error: BaseException, tried: str, on: str, secrets: Iterable[str] = ()) -> OncallError:
    """Return the OncallError that says what `error`, raised by boto3, means and what to do next."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return _explain_answer(response, tried, on, secrets)
    for cls in type(error).__mro__:
        if cls.__name__ in _EXCEPTIONS:
            kind, made, next_step = _EXCEPTIONS[cls.__name__]
            return made(tried, on=on, got=scrub(str(error), secrets), next_step=next_step, kind=kind)
    return OncallError(
        tried, on=on, got=scrub("%s: %s" % (type(error).__name__, error), secrets), next_step=_ENDPOINT
    )


def _explain_answer(response: Dict[str, Any], tried: str, on: str, secrets: Iterable[str]) -> OncallError:
    code = str(response["Error"].get("Code", ""))
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    if code == status and status.startswith("5"):  # an S3 API would have named the error
        return not_s3(tried, on, "HTTP %s without an error code of S3" % status)
    message = scrub(str(response["Error"].get("Message", "")), secrets)
    if "request time" in message.lower():  # what some stores say with another code
        code = "RequestTimeTooSkewed"
    kind, cls, next_step = _CODES.get(code) or _CODES.get(status) or ("failed", OncallError, _ENDPOINT)
    got = "the store answered %s%s" % (code or status, ": " + message if message else "")
    if status and status != code:
        got += " (HTTP %s)" % status
    return cls(tried, on=on, got=got, next_step=next_step, kind=kind)


def not_s3(tried: str, on: str, answer: str) -> OncallError:
    """Return the error for an `answer` that no S3 API gives."""
    next_step = (
        "check endpoint_url; if it is right, a proxy or the store is in trouble: try again in a minute"
    )
    return UnreachableError(
        tried, on=on, got="what answered is not an S3 API: " + answer, next_step=next_step, kind="not_s3"
    )


def replaced(tried: str, on: str) -> OncallError:
    """Return the error for an object that is no longer the one that was listed."""
    kind, cls, next_step = _CODES["PreconditionFailed"]
    return cls(tried, on=on, got="its ETag has changed since it was listed", next_step=next_step, kind=kind)


def check_endpoint(url: str) -> None:
    """Raise UsageError when `url` cannot be right, which is what an unset account id makes of it."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _wrong_endpoint(url, str(error)) from error
    if parts.scheme not in ("http", "https"):
        raise _wrong_endpoint(url, "it does not begin with https:// or http://")
    labels = host.split(".")
    unset = {"", "none", "null", "undefined", "account_id", "accountid", "cloudflare_account_id"}
    if set("${}<>% ") & set(url) or unset & set(labels[:-1] or labels):
        raise _wrong_endpoint(url, "a part of its host name is empty or was never filled in")


def check_bucket(bucket: str) -> None:
    """Raise UsageError when no bucket is named, which an empty variable of an inventory does."""
    if not bucket.strip():
        raise UsageError("use the bucket", got="its name is empty", next_step="set the option bucket")


def _wrong_endpoint(url: str, got: str) -> UsageError:
    return UsageError(
        "use endpoint_url",
        on=scrub(url),
        got=got,
        next_step="set the account id (for Cloudflare R2: https://<account id>.r2.cloudflarestorage.com)",
        kind="endpoint",
    )
