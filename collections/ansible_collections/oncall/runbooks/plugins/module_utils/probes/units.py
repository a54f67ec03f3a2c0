# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers as an operator reads them."""

from __future__ import annotations

__metaclass__ = type


def size(count: float) -> str:
    """Return bytes in the unit that keeps three digits: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return "%.0f %s" % (count, unit) if unit == "B" else "%.1f %s" % (count, unit)
        count /= 1024.0
    raise AssertionError("unreachable")


def span(seconds: float) -> str:
    """Return seconds as one readable duration: `42 s`, `7.5 min`, `3.2 h`, `2.1 d`."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if abs(seconds) < limit:
            return ("%.0f %s" if unit == "s" else "%.1f %s") % (seconds / divisor, unit)
    return "%.1f d" % (seconds / 86400)


def plural(count: int, noun: str) -> str:
    """Return `1 session`, `2 sessions`."""
    return "%d %s%s" % (count, noun, "" if count == 1 else "s")
