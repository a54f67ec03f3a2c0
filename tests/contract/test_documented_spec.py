"""Action plugins check arguments against the options that ansible-doc shows, fragments and all."""

from __future__ import annotations

from typing import Any

from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import documented_spec

from tests.contract.module_pages import documented

KEYS = ("type", "default", "required", "choices", "elements")


def stated(options: dict[str, Any], nested: str) -> dict[str, Any]:
    """Return what is stated of each option, those of a dictionary below `nested` of it."""
    return {
        name: {key: about[key] for key in KEYS if key in about}
        | {"": stated(about.get(nested) or {}, nested)}
        for name, about in options.items()
    }


def test_an_action_plugin_takes_the_options_that_are_documented() -> None:
    for name, module in documented().items():
        spec = documented_spec(f"oncall.runbooks.{name}")
        assert stated(spec, "options") == stated(module["doc"]["options"], "suboptions"), name
