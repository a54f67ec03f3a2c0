# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one way out of a module: its work returns or raises, and only this ends the process."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Protocol

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError


class Run(Protocol):
    """The work of a module: options in, result out, OncallError when it cannot be done."""

    def __call__(self, params: Dict[str, Any], /, *, check_mode: bool) -> Dict[str, Any]:
        """Do it (or predict it in check mode) and return the module's result."""


def run_module(spec: Dict[str, Any], run: Run, *, proves_unchanged: bool = False, **rules: Any) -> None:
    """Validate the options by `spec` and `rules` (as AnsibleModule takes them), `run`, and exit.

    `proves_unchanged`: every error of this module that does not say `changed` left everything as it was.
    """
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
    try:
        result = run(module.params, check_mode=module.check_mode)
    except OncallError as exc:
        undo = {"undo": exc.undo} if exc.undo else {}
        proof = {"left_unchanged": not exc.changed} if proves_unchanged else {}
        module.fail_json(msg=exc.message, error=exc.as_dict(), changed=exc.changed, **undo, **proof)
    module.exit_json(**result)
