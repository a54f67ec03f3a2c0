"""The variables of each role as a table in its README, made from its argument specification.

`python tests/contract/role_tables.py` writes them; the contract test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "collections/ansible_collections/oncall/runbooks/roles"
BEGIN, END = "<!-- begin: generated from meta/argument_specs.yml -->\n", "<!-- end -->\n"


def specs(role: Path) -> dict[str, Any]:
    """Return the entry points of a role with their specifications."""
    entry_points: dict[str, Any] = yaml.safe_load((role / "meta/argument_specs.yml").read_text())[
        "argument_specs"
    ]
    return entry_points


def table(role: Path) -> str:
    """Return the generated part of a README: one table for each entry point."""
    parts = []
    for name, spec in specs(role).items():
        lines = [
            f"\n## `{name}`\n",
            f"{spec['short_description']}.\n",
            "| variable | type | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for option, about in spec["options"].items():
            default = "**required**" if about.get("required") else f"`{about['default']!r}`"
            lines.append(f"| `{option}` | {about['type']} | {default} | {about['description']} |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts) + "\n"


def readme(role: Path) -> str:
    """Return the whole README with the generated part brought up to date."""
    head, rest = (role / "README.md").read_text().split(BEGIN)
    return head + BEGIN + table(role) + END + rest.split(END)[1]


if __name__ == "__main__":
    for path in sorted(ROLES.iterdir()):
        (path / "README.md").write_text(readme(path))
