# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the files beside a container's log say of the container, without asking its engine."""

from __future__ import annotations

__metaclass__ = type

import json
import os

_ABOUT = "config.v2.json"


def of_stopped_container(path: str) -> bool:
    """Whether the file is the log of a container that does not run: it may say why, and nobody writes on.

    An engine whose disk is full cannot note that a container has ended, so its process counts, too.
    """
    try:
        with open(os.path.join(os.path.dirname(path), _ABOUT), encoding="utf-8") as handle:
            state = json.load(handle)["State"]
        running, pid = bool(state["Running"]), int(state["Pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return not running or not os.path.exists("/proc/%d" % pid)
