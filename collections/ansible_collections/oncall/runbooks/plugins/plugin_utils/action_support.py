# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every action plugin on the controller shares: arguments as documented, no secret in a result."""

from __future__ import annotations

__metaclass__ = type

import secrets
import time
from abc import abstractmethod
from importlib import import_module
from typing import Any, Dict, FrozenSet, Mapping, Optional, Set

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError

_PLUGINS = "ansible_collections.oncall.runbooks.plugins"
_SPEC_KEYS = ("type", "default", "required", "choices", "aliases", "elements")
_HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def documented_spec(module: str, secrets: FrozenSet[str] = frozenset()) -> Dict[str, Any]:
    """Return the argument spec that the documentation of `module` (full name) states.

    The documentation is the only place that lists options, so it cannot be wrong; what it has no word
    for, which options are secret, is given in `secrets`.
    """
    doc = _loaded(import_module("%s.modules.%s" % (_PLUGINS, module.rpartition(".")[2])).DOCUMENTATION)
    options: Dict[str, Any] = dict(doc.get("options", {}))
    for fragment in doc.get("extends_documentation_fragment", []):
        for name, shared in _fragment(fragment).get("options", {}).items():
            options[name] = {**shared, **options.get(name, {})}
    return _spec_of(options, secrets)


def _fragment(full_name: str) -> Dict[str, Any]:
    """Return the fragment that a module names as `namespace.collection.file`, or with `.section` after it."""
    name, _dot, section = full_name.split(".", 2)[2].partition(".")
    shared = import_module("%s.doc_fragments.%s" % (_PLUGINS, name)).ModuleDocFragment
    return _loaded(getattr(shared, section.upper() or "DOCUMENTATION"))


def _loaded(text: str) -> Dict[str, Any]:
    # The loader in C, where PyYAML has it, saves a tenth of a second for each task.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: Dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    return loaded


def _spec_of(options: Mapping[str, Any], secrets: FrozenSet[str]) -> Dict[str, Any]:
    spec: Dict[str, Any] = {}
    for name, option in options.items():
        spec[name] = {key: option[key] for key in _SPEC_KEYS if key in option}
        spec[name]["no_log"] = name in secrets
        if "suboptions" in option:
            spec[name]["options"] = _spec_of(option["suboptions"], secrets)
    return spec


def new_run() -> str:
    """Return an id for what is done outside of a recorded run; ids sort by time."""
    return time.strftime("%Y%m%dt%H%M%Sz", time.gmtime()) + "-" + secrets.token_hex(3)


class ControllerAction(ActionBase):  # type: ignore[misc]  # ansible ships no types
    """An action plugin that validates its arguments as documented and never returns a secret.

    A subclass names its `MODULE` and `SECRETS` and implements `act`; an `OncallError` raised there
    becomes the failed result that `msg` and `error` describe.
    """

    MODULE = ""
    SECRETS: FrozenSet[str] = frozenset()
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """Validate the task's arguments, act, and return the result without any secret in it."""
        result: Dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        hidden: Set[str] = {str(self._task.args[name]) for name in self.SECRETS if self._task.args.get(name)}
        try:
            options = self.options(hidden)
            result["invocation"] = {"module_args": self._shown(options)}
            result.update(self.act(options, task_vars or {}))
        except OncallError as error:
            result.update(failed=True, msg=error.message, error=error.as_dict(), **self.about_failure(error))
        cleaned: Dict[str, Any] = remove_values(result, hidden)
        return cleaned

    def options(self, hidden: Set[str]) -> Dict[str, Any]:
        """Return the validated arguments; adds what must never be shown to `hidden`."""
        validation = ArgumentSpecValidator(documented_spec(self.MODULE, self.SECRETS)).validate(
            dict(self._task.args)
        )
        hidden.update(str(value) for value in validation._no_log_values)
        if validation.error_messages:
            raise UsageError(
                "use the options of %s" % self.MODULE,
                got="; ".join(validation.error_messages),
                next_step="correct the task, or the variable that the option takes its value from",
            )
        validated: Dict[str, Any] = validation.validated_parameters
        return validated

    def _shown(self, options: Mapping[str, Any]) -> Dict[str, Any]:
        return {k: _HIDDEN if k in self.SECRETS and v else v for k, v in options.items()}

    def about_failure(self, _error: OncallError) -> Dict[str, Any]:
        """Return what else a failed result says; an action that changes something says whether it did."""
        return {}

    @abstractmethod
    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Do the work with validated `options` and return the result."""
