# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Load once what every step would load again: see DOCUMENTATION."""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ansible
from ansible import constants, module_utils, template
from ansible.parsing.dataloader import DataLoader
from ansible.plugins import loader
from ansible.plugins.callback import CallbackBase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine.builds import Builds, Sources

if TYPE_CHECKING:
    from ansible.playbook import Playbook

DOCUMENTATION = r"""
name: warm
type: aggregate
short_description: Loads once what every step would load again
version_added: 0.1.0
author: the oncall.runbooks authors (@oncall-runbooks)
description:
  - Ansible runs each step on each host in a fork of its main process, and what a fork has loaded is gone
    with it. Filters, tests, connections and the template engine that the main process has loaded before are
    there in all of them, which takes about a fifth off the time of a run.
  - Modules of the collection that an earlier run has packed for a target are lent to this one. They are kept
    in the folder C(modules) of the cache, for their owner alone, under the digest of what they are made of.
  - It changes nothing that a run does; without it runs are only slower.
requirements:
  - enabled in C(callbacks_enabled)
"""

_TEMPLATE = "{{ lookup('env', 'HOME') | default('', true) is string }}"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible ships no types
    """Loads plugins before the first fork."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "warm"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._builds: Builds | None = None

    def v2_playbook_on_start(self, _playbook: Playbook) -> None:
        """The playbook is read, and no fork exists yet."""
        # Whatever is missing here is loaded, or complained about, where it is needed.
        with contextlib.suppress(Exception):
            _load()
        with contextlib.suppress(Exception):
            self._builds = _builds()
            self._builds.lend()
        # The collector would write into each object it looks at, and so copy the memory that forks share.
        gc.freeze()

    def v2_playbook_on_stats(self, _stats: object) -> None:
        """Every step is done."""
        with contextlib.suppress(OSError):
            if self._builds:
                self._builds.keep()


def _builds() -> Builds:
    found = loader.module_loader.find_plugin_with_context("oncall.runbooks.lease")
    utils = [*(constants.config.get_config_value("DEFAULT_MODULE_UTILS_PATH") or []), *module_utils.__path__]
    return Builds(
        Sources(Path(found.plugin_resolved_path).parents[1], [*map(Path, utils)], ansible.__version__),
        Path(constants.DEFAULT_LOCAL_TMP),
    )


def _load() -> None:
    for name in ("local", "ssh"):
        loader.connection_loader.get(name, class_only=True)
    loader.shell_loader.get("sh")
    loader.lookup_loader.get("file", class_only=True)
    # Ansible from 2.19 on renders only what is marked as trusted.
    trusted = getattr(template, "trust_as_template", str)(_TEMPLATE)
    template.Templar(loader=DataLoader()).template(trusted)
