# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each refusal of Redis means, in one word, and what to do about it."""

from __future__ import annotations

__metaclass__ = type

from typing import Dict, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

# Beginning of an error reply → kind. The first that fits counts.
_KINDS: Tuple[Tuple[str, str], ...] = (
    ("NOAUTH", "auth_required"),
    ("WRONGPASS", "wrong_password"),
    ("ERR invalid password", "wrong_password"),
    ("ERR AUTH <password> called without", "no_password_set"),
    ("ERR Client sent AUTH, but no password", "no_password_set"),
    ("NOPERM", "no_permission"),
    ("DENIED", "protected_mode"),
    ("LOADING", "loading"),
    ("MASTERDOWN", "master_down"),
    ("BUSY", "busy"),
    ("MISCONF", "misconf"),
    ("OOM", "oom"),
    ("READONLY", "readonly"),
    ("NOREPLICAS", "no_replicas"),
    ("CLUSTERDOWN", "cluster_down"),
    ("MOVED", "other_node"),
    ("ERR max number of clients", "maxclients"),
)

_NEXT: Dict[str, str] = {
    "auth_required": "set the option login_password: this server wants one",
    "wrong_password": "compare the option login_password with the server's requirepass or ACL",
    "no_password_set": "find out why the server runs without a password: it may have started without its "
    "configuration",
    "no_permission": "log in as a user whose ACL allows it",
    "protected_mode": "set a password in the server's configuration, or connect from the host itself",
    "loading": "wait until it has read its data from disk; a restart only begins that again",
    "master_down": "look at redis_role: this server follows a primary that it cannot reach",
    "busy": "end the script with SCRIPT KILL; SHUTDOWN NOSAVE would lose what is not on disk",
    "misconf": "make room for what it writes to disk, then let it save again",
    "oom": "raise maxmemory within the limit of the host, or let it evict when it is only a cache",
    "readonly": "look at redis_role: this server follows another one",
    "no_replicas": "bring its replicas back, or lower min-replicas-to-write",
    "cluster_down": "look at CLUSTER INFO: slots are not served",
    "other_node": "ask the node of the cluster that the reply names",
    "maxclients": "start the services again that hold its connections, or raise maxclients",
    "refused": "start it, or correct login_host and login_port",
    "timeout": "see whether it is frozen or busy, and what its log says",
    "not_redis": "correct login_host and login_port: something else listens there",
}


class RedisError(OncallError):
    """Redis did not do what was asked: `kind` says why, in one word of `kind_of`."""

    kind = "redis"


def kind_of(reply: str) -> str:
    """Return the kind of an error reply such as `OOM command not allowed …`; `error` when it is unknown."""
    return next((kind for start, kind in _KINDS if reply.startswith(start)), "error")


def next_step_for(kind: str) -> str:
    """Return what to do about a kind, empty when there is nothing to say."""
    return _NEXT.get(kind, "")


def refused(tried: str, on: str, reply: str) -> RedisError:
    """Return the error of an error reply."""
    kind = kind_of(reply)
    return RedisError(tried, on=on, got=reply, next_step=next_step_for(kind), kind=kind)
