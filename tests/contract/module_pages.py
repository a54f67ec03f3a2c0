"""One page for each module in docs/modules, made from the documentation inside it.

`make docs` writes them; the contract test compares.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "collections/ansible_collections/oncall/runbooks/plugins/modules"
PAGES = ROOT / "docs" / "modules"
_MARKUP = re.compile(r"\b([ICVOMEPBR]|RV)\(((?:[^()\\]|\\.)*)\)")


def documented() -> dict[str, Any]:
    """Return what ansible-doc says of every module of the collection, by short name."""
    names = [f"oncall.runbooks.{path.stem}" for path in sorted(MODULES.glob("*.py"))]
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "--json", "-t", "module", *names],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.rsplit(".", 1)[1]: page for name, page in json.loads(done.stdout).items()}


def prose(text: Any) -> str:
    """Return a description as one line of Markdown."""
    joined = " ".join(text) if isinstance(text, list) else str(text or "")
    plain = _MARKUP.sub(lambda m: f"`{m.group(2)}`", " ".join(joined.split()))
    return plain.replace("|", "\\|").replace("\\)", ")")


def option_rows(options: dict[str, Any], parent: str = "") -> list[str]:
    """Return a table row for each option, those of a dictionary under its name."""
    rows: list[str] = []
    for name, about in sorted(options.items(), key=lambda o: (not o[1].get("required"), o[0])):
        kind = about.get("type", "str")
        kind += f" of {about['elements']}" if about.get("elements") else ""
        default = "**required**" if about.get("required") else ""
        if not default and about.get("default") is not None:
            default = f"`{json.dumps(about['default'])}`"
        choices = about.get("choices")
        meaning = prose(about.get("description"))
        if choices:
            meaning += " One of " + ", ".join(f"`{c}`" for c in choices) + "."
        rows.append(f"| `{parent}{name}` | {kind} | {default} | {meaning} |")
        rows += option_rows(about.get("suboptions") or {}, f"{parent}{name}.")
    return rows


def return_rows(returned: dict[str, Any], parent: str = "") -> list[str]:
    """Return a table row for each returned key."""
    rows: list[str] = []
    for name, about in returned.items():
        rows.append(
            f"| `{parent}{name}` | {about.get('type', '')} | {prose(about.get('returned'))} "
            f"| {prose(about.get('description'))} |"
        )
        rows += return_rows(about.get("contains") or {}, f"{parent}{name}.")
    return rows


def page(name: str, module: dict[str, Any]) -> str:
    """Return the page of one module."""
    doc = module["doc"]
    lines = [f"# `oncall.runbooks.{name}`", "", f"**{doc['short_description']}.**", ""]
    description = doc["description"] if isinstance(doc["description"], list) else [doc["description"]]
    lines += [f"- {prose(sentence)}" for sentence in description]
    lines += ["", "| attribute | support | details |", "| --- | --- | --- |"]
    for attribute, about in sorted((doc.get("attributes") or {}).items()):
        lines.append(f"| {attribute} | {about.get('support')} | {prose(about.get('details'))} |")
    lines += ["", "## Options", "", "| option | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += option_rows(doc.get("options") or {})
    lines += ["", "## Returns", "", "| key | type | when | meaning |", "| --- | --- | --- | --- |"]
    lines += return_rows(module.get("return") or {})
    lines += ["", "## Examples", "", "```yaml", (module.get("examples") or "").strip(), "```", ""]
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Return the content of every page, by path."""
    modules = documented()
    made = {PAGES / f"{name}.md": page(name, module) for name, module in modules.items()}
    lines = ["# Modules", "", "Made from the documentation inside each module by `make docs`.", ""]
    lines += [f"- [`{name}`]({name}.md): {m['doc']['short_description']}" for name, m in modules.items()]
    made[PAGES / "README.md"] = "\n".join([*lines, ""])
    return made


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
