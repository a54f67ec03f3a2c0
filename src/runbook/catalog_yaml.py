# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read YAML as plain data without Ansible, and say file, line and what was expected when it is not that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from runbook_engine.errors import UsageError

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Step = str | int
"""One step into a document: a key of a mapping or an index of a list."""


class FileError(UsageError):
    """A file of the project is not what it should be. `line` counts from 1 (0: the whole file)."""

    def __init__(self, path: Path, line: int, problem: str, expected: str) -> None:
        self.path, self.line = path, line
        where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{where}: {problem}.", f"correct it; expected: {expected}")


class _Loader(_Base):  # type: ignore[misc]
    """Plain YAML; tags of Ansible (vault, unsafe) stand for a value that only Ansible can read."""


def _tagged(_loader: Any, suffix: str, _node: yaml.Node) -> str:
    return f"<!{suffix}>"


_Loader.add_multi_constructor("!", _tagged)


def read_text(path: Path) -> str:
    """Return the text of `path`, or raise FileError."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise FileError(path, 0, f"cannot be read: {error.strerror}", "a readable YAML file") from error
    except UnicodeDecodeError as error:
        raise FileError(path, 0, f"is not UTF-8 text (byte {error.start})", "a YAML file in UTF-8") from error


def is_vault(text: str) -> bool:
    """Whether the whole file is encrypted: nothing in it can be read without Ansible."""
    return text.startswith("$ANSIBLE_VAULT")


def parse(path: Path, text: str) -> Any:
    """Return the one document in `text`, or raise FileError with the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise FileError(path, line, f"is not valid YAML: {problem}", "valid YAML at this line") from error
    except yaml.YAMLError as error:
        raise FileError(path, 0, f"is not valid YAML: {error}", "valid YAML") from error
    except ValueError as error:
        raise FileError(path, 0, f"has a value that cannot be read: {error}", "valid YAML") from error


def line_of(text: str, steps: Sequence[Step]) -> int:
    """Return the line (from 1) of the node that `steps` lead to in `text`, or of the last one that exists."""
    node = yaml.compose(text, Loader=_Loader)
    line = 1
    for step in steps:
        found = _child(node, step)
        if found is None:
            break
        line, node = found
    return line


def _child(node: yaml.Node | None, step: Step) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    return None


class Reader:
    """Takes typed values out of one parsed file; a value of another kind is a FileError with its line."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = read_text(path) if text is None else text
        self.value = parse(path, self.text)

    def problem(self, steps: Sequence[Step], problem: str, expected: str) -> FileError:
        """Return the problem of the node at `steps`."""
        return FileError(self.path, line_of(self.text, steps), problem, expected)

    def line(self, steps: Sequence[Step]) -> int:
        """Return the line (from 1) of the node at `steps`."""
        return line_of(self.text, steps)

    def lines(self) -> list[int]:
        """Return the line of each entry, when the document is a list."""
        node = yaml.compose(self.text, Loader=_Loader)
        listed = node.value if isinstance(node, yaml.SequenceNode) else []
        return [entry.start_mark.line + 1 for entry in listed]

    def mapping(self, value: Any, steps: Sequence[Step], expected: str) -> dict[str, Any]:
        """Return `value`, which has to be a mapping with text keys."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.problem(steps, f"{dotted(steps)} is {kind(value)}", expected)
        return value

    def text_at(self, value: Any, steps: Sequence[Step], expected: str) -> str:
        """Return `value`, which has to be a text that is not empty."""
        if not isinstance(value, str) or not value.strip():
            raise self.problem(steps, f"{dotted(steps)} is {kind(value)}", expected)
        return value

    def number_at(self, value: Any, steps: Sequence[Step], expected: str) -> float | None:
        """Return `value`, a number above zero, or None when it is not given."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise self.problem(steps, f"{dotted(steps)} is {value!r}", expected)
        return value


def dotted(steps: Sequence[Step]) -> str:
    """Return a path into a document as it is read aloud: `system.runbooks.x`, `[0].vars`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return "".join(parts).lstrip(".") or "the document"


def kind(value: Any) -> str:
    """Return what a wrong value is, in words."""
    if value is None:
        return "missing or empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"{value!r}"
