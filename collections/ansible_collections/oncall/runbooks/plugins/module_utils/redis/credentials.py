# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether Redis takes the login that a service runs with, and the one that its settings file has."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Login, session
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import (
    RUNTIME_SPEC,
    choose_provider,
    env_file_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile

CLIENT_SPEC: Dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "part": {"type": "str", "default": ""},
    "runtime": {"type": "dict", "options": RUNTIME_SPEC, "required": True},
    "setting": {"type": "str", "default": "REDIS_URL"},
}
# Words of Redis that are about who asks, not about how the server is.
_ABOUT_LOGIN = ("auth_required", "wrong_password", "no_password_set", "no_permission")


@dataclass(frozen=True)
class _Tried:
    """How one place's login fared: `word` is ok, missing, unreadable, or the kind of the refusal."""

    word: str
    text: str = ""

    @property
    def bad(self) -> bool:
        return self.word in ("missing", "no_url", *_ABOUT_LOGIN)


def measure_credentials(
    clients: Sequence[Mapping[str, Any]], server: Login, timeout: float
) -> Iterator[Dict[str, Any]]:
    """Yield one finding `redis_credentials` for each service of `clients` (see CLIENT_SPEC).

    Its `remedy` says what would help: `recreate` (start it again, the file is right) or `settings` (the
    file is wrong, too). The login is tried at `server`, because the name of the URL is known to containers
    only; no part of the URL is told.
    """
    for service in clients:
        provider = choose_provider(service["runtime"], timeout=timeout)
        setting, path = service["setting"], env_file_of(service["runtime"])
        running = _tried(lambda p=provider, s=setting: p.read_environment().get(s), server, timeout)  # type: ignore[misc]
        kept = _tried(lambda f=path, s=setting: _in_file(f, s), server, timeout) if path else running  # type: ignore[misc]
        yield _finding(service, provider, running, kept)


def _in_file(path: str, setting: str) -> Any:
    return EnvFile.read(path).values().get(setting)


def _tried(read: Callable[[], Any], server: Login, timeout: float) -> _Tried:
    try:
        url = read()
    except OncallError as exc:
        return _Tried("unreadable", exc.message)
    if not url:
        return _Tried("missing", "it is not set")
    try:
        parts = urlsplit(str(url).strip())
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        return _Tried("no_url", "it is no URL")
    if parts.scheme not in ("redis", "rediss", "unix"):
        return _Tried("no_url", "it is no URL of Redis")
    try:
        with session(replace(server, user=user, password=password), timeout=timeout) as client:
            client.call("PING")
    except RedisError as exc:
        return _Tried(exc.kind, exc.got)
    return _Tried("ok")


def _finding(service: Mapping[str, Any], provider: Provider, running: _Tried, kept: _Tried) -> Dict[str, Any]:
    remedy = "" if not running.bad and not kept.bad else "settings" if kept.bad else "recreate"
    status = "fail" if remedy else "unknown" if "unreadable" in (running.word, kept.word) else "ok"
    name = "%s: %s" % (service["name"], service["setting"])
    if not remedy and running.word == kept.word == "ok":
        summary = "%s is taken by Redis." % name
    else:
        said = [
            "%s %s" % (where, tried.text or "is taken")
            for where, tried in (("as it runs:", running), ("in its file:", kept))
        ]
        summary = "%s, %s." % (name, "; ".join(said))
    return finding(
        "redis_credentials",
        status,
        summary,
        observed={
            "service": service["name"],
            "part": service["part"],
            "running": running.word,
            "file": kept.word,
            "remedy": remedy,
            "runtime": provider.kind,
        },
        expected={"running": "ok", "file": "ok"},
    )
