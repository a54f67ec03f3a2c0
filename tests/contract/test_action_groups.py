"""Who sets an option once for a group of modules reaches every module that takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

COLLECTION = (
    Path(__file__).resolve().parents[2] / "collections" / "ansible_collections" / "oncall" / "runbooks"
)
GROUPS: dict[str, list[str]] = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text())[
    "action_groups"
]


def documented_with(fragment: str) -> list[str]:
    """Names of the modules whose options come from a documentation fragment."""
    modules = (COLLECTION / "plugins" / "modules").glob("*.py")
    return sorted(path.stem for path in modules if f"  - oncall.runbooks.{fragment}\n" in path.read_text())


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_group_holds_every_module_with_its_options(group: str) -> None:
    assert documented_with(group), "it is the fragment's name"
    assert GROUPS[group] == documented_with(group)
