"""Access tokens: JSON Web Tokens signed with HS256 (RFC 7515, RFC 7519), and passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

MIN_SECRET = 32
"""Characters that a signing secret has at least: HS256 wants a key as long as its hash."""
_ISSUER = "roost-auth"
_ROUNDS = 1000


class TokenError(Exception):
    """A token that is not good; the message says why, never what is in it."""


class SecretError(Exception):
    """The signing secret is absent or too short."""


def sign(secret: str, subject: str, lifetime: int) -> str:
    """Return a token for `subject` that is good for `lifetime` seconds; raises SecretError."""
    now = int(time.time())
    claims = {"iss": _ISSUER, "sub": subject, "iat": now, "exp": now + lifetime, "jti": secrets.token_hex(8)}
    body = b".".join(_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (body + b"." + _encode(_signature(secret, body))).decode()


def verify(secret: str, token: str) -> dict[str, Any]:
    """Return the claims of a good token; raises TokenError, or SecretError when none can be checked."""
    body, _, signature = token.encode().rpartition(b".")
    expected = _signature(secret, body)
    try:
        head, claims = (json.loads(_decode(part)) for part in body.split(b"."))
        given = _decode(signature)
    except ValueError:
        raise TokenError("malformed token") from None
    # The algorithm is ours to choose, never the token's.
    if head.get("alg") != "HS256" or not hmac.compare_digest(expected, given):
        raise TokenError("invalid signature")
    if claims.get("exp", 0) <= time.time():
        raise TokenError("token expired")
    return dict(claims)


def fingerprint(token: str) -> str:
    """Return how a token is kept in the database, as text of a bytea."""
    return "\\x" + hashlib.sha256(token.encode()).hexdigest()


def hash_password(password: str, salt: str = "") -> str:
    """Return how a password is kept: `pbkdf2$salt$hash`."""
    salt = salt or secrets.token_hex(8)
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), _ROUNDS)
    return f"pbkdf2${salt}${made.hex()}"


def is_password(password: str, kept: str) -> bool:
    """Whether `password` is the one that was kept."""
    _, _, rest = kept.partition("$")
    return hmac.compare_digest(hash_password(password, rest.partition("$")[0]), kept)


def _signature(secret: str, body: bytes) -> bytes:
    if len(secret) < MIN_SECRET:
        found = "not set" if not secret else f"shorter than {MIN_SECRET} characters"
        raise SecretError(f"AUTH_JWT_SECRET is {found}")
    return hmac.digest(secret.encode(), body, "sha256")


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
