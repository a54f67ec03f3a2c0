# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a server is whose port its container does not publish: at the container's own address."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import replace
from typing import Any, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Login
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.docker import DockerProvider

_LOCAL = "127.0.0.1"


def login_of(params: Mapping[str, Any]) -> Login:
    """Return the login of a module's options; without a host, the container of `runtime` is asked for one.

    Raises RedisError (refused) when that has no address, as one that is down.
    """
    login = Login.from_params(params)
    if login.host or login.unix_socket:
        return login
    runtime = params.get("runtime")
    provider = choose_provider(runtime, timeout=10.0) if runtime else None
    if not isinstance(provider, DockerProvider):
        return replace(login, host=_LOCAL)
    address = provider.address()
    if not address:
        raise RedisError(
            "connect to Redis",
            on="container %s" % provider.name,
            got="the container has no address: it does not run, or uses the host's network",
            next_step="start it, or set login_host",
            kind="refused",
        )
    return replace(login, host=address)
