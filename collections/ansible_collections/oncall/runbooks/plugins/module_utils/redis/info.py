# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What INFO tells, by name and type."""

from __future__ import annotations

__metaclass__ = type

from typing import Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Client


class Info(Dict[str, str]):
    """The fields of INFO; a version of Redis that does not know a field gives a number as 0."""

    def number(self, name: str, default: int = 0) -> int:
        """Return a field as a whole number."""
        try:
            return int(float(self.get(name, default)))
        except ValueError:
            return default

    def has(self, name: str, value: str) -> bool:
        """Whether a field has this value."""
        return self.get(name) == value

    def databases(self) -> Dict[str, int]:
        """Return the number of keys of each database that has some, by its name (`db0`)."""
        found = {}
        for name, text in self.items():
            if name.startswith("db") and name[2:].isdigit():
                fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
                found[name] = int(fields.get("keys", 0))
        return found


def parse_info(text: str) -> Info:
    """Return the fields of the reply to INFO."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return Info({name: value.strip() for name, value in pairs})


def ask_info(client: Client) -> Info:
    """Ask for everything; raises RedisError."""
    return parse_info(client.call("INFO"))


def ask_settings(client: Client, *patterns: str) -> Mapping[str, str]:
    """Return the settings that CONFIG GET tells for the patterns, none where it is not allowed or renamed."""
    replies = client.all([("CONFIG", "GET", pattern) for pattern in patterns])
    found: Dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, list):
            found.update({reply[i]: reply[i + 1] for i in range(0, len(reply) - 1, 2)})
    return found
