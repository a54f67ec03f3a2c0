# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where is kept what can be made again at any time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return RUNBOOK_CACHE, `.cache` of the checkout if one may write there, or the user's cache folder."""
    if given := environ.get("RUNBOOK_CACHE"):
        return Path(given)
    if (_CHECKOUT / "pyproject.toml").exists() and os.access(_CHECKOUT, os.W_OK):
        return _CHECKOUT / ".cache"
    home = environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "runbook"
