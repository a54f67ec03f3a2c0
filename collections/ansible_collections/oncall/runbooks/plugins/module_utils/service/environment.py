# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings that a service without a container was started with, as the kernel keeps them."""

from __future__ import annotations

__metaclass__ = type

from typing import Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import process_environment
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import ServiceError, ServiceState


def environment_of(state: ServiceState) -> Dict[str, str]:
    """Return the environment of a running service's main process; raises OncallError when it has none."""
    what = "see the settings of %s %s" % (state.kind, state.name)
    try:
        if not state.pid:
            raise FileNotFoundError(state.word)
        return process_environment(state.pid)
    except PermissionError as exc:
        raise DeniedError(what, got=str(exc), next_step="become root on this host") from None
    except OSError:
        raise ServiceError(
            what, got=state.describe(), next_step="start it: only a running process has settings to look at"
        ) from None
