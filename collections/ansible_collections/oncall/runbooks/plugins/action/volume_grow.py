# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enlarge a volume through its vendor's API, from the controller: the token stays here."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.storage.hetzner import HetznerVolume
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile


class ActionModule(ControllerAction):
    """`oncall.runbooks.volume_grow`."""

    MODULE = "oncall.runbooks.volume_grow"
    SECRETS = frozenset({"token"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Enlarge the volume and return the result."""
        host = str(task_vars.get("inventory_hostname", ""))
        progress = ProgressFile.from_environment(os.environ.get("ONCALL_RUN_ID", ""), host)
        volume = HetznerVolume(
            options,
            progress=lambda percent: progress.append({"phase": "resize", "text": "%d %%" % percent}),
        )
        return volume.grow(check_mode=bool(self._task.check_mode))

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether the volume is as it was."""
        return {"left_unchanged": not error.changed}
