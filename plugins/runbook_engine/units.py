# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bytes, durations and counts for a reader."""

from __future__ import annotations

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(value: float) -> str:
    """Return bytes for a reader: `812 B`, `54.2 MiB`."""
    left = float(value)
    for unit in _STEPS:
        if abs(left) < 1024 or unit == _STEPS[-1]:
            break
        left /= 1024
    return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"


def seconds(value: float | None) -> str:
    """Return a duration for a reader: `0.4 s`, `12 s`, `3 min 5 s`, `5 h 5 min`, `2 d 3 h`; "" for None."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    parts: list[tuple[int, str]] = []
    left = round(value)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    # Two units say enough: nobody reads the seconds of a day.
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def count(number: int, noun: str) -> str:
    """Return `1 row`, `600 rows`, `12,000 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
