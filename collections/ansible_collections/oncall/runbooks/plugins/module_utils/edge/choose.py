# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which provider directs the traffic: one row per platform."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.admin_api import AdminApi
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import EdgeProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.cloudflare_lb import CloudflareLb
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.elbv2 import TargetGroup
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError

_PROVIDERS: Dict[str, Callable[[Mapping[str, Any]], EdgeProvider]] = {
    AdminApi.kind: AdminApi,
    CloudflareLb.kind: CloudflareLb,
    TargetGroup.kind: TargetGroup,
}


def choose_provider(options: Mapping[str, Any]) -> EdgeProvider:
    """Return the provider that `options["provider"]` names, with the options of that name."""
    kind = options["provider"]
    if not options.get(kind):
        next_step = "set the option %s" % kind
        raise UsageError("use the provider %s" % kind, got="its options are missing", next_step=next_step)
    names = [name for name in (options.get("primary"), options.get("target")) if name]
    shared = {"timeout": options["timeout"], "attempts": options["attempts"], "names": names}
    return _PROVIDERS[kind](dict(options[kind], **shared))
