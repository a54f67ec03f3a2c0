# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that the modules of deployments share; mirrors the doc fragment `deploy`."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.migrations import (
    MIGRATIONS_SPEC,
    read_applied,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import RUNNING_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Schema

DEPLOY_SPEC: Dict[str, Any] = {
    **pg.argument_spec(),
    "path": {"type": "path", "required": True},
    "script": {"type": "list", "elements": "str", "default": ["./ops/deploy.sh"]},
    "ledger": {"type": "path", "default": "/var/lib/oncall-runbooks/deployments.jsonl"},
    "private_dir": {"type": "path", "default": "/var/lib/oncall-runbooks"},
    "running": {"type": "dict", "options": RUNNING_SPEC, "apply_defaults": True},
    "migrations": {"type": "dict", "options": MIGRATIONS_SPEC},
    "database": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 5.0},
}


def schema_of(params: Mapping[str, Any], git: Git) -> Optional[Schema]:
    """Return what the database has, held against the checkout; None where the project has no migrations.

    Raises OncallError when the database does not tell.
    """
    options = params["migrations"]
    if not options:
        return None
    login = pg.Login.from_params(params, "oncall-deploy")
    applied = read_applied(login, params["database"], options, params["timeout"])
    return Schema.of(git, options, applied)
