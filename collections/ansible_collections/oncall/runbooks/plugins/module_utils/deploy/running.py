# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which commit really runs: what the service says, the label of its image, or a file of the deployment."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.http import ask
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.tail import tail_file

RUNNING_SPEC: Dict[str, Any] = {
    "kind": {"type": "str", "choices": ["none", "url", "label", "file"], "default": "none"},
    "url": {"type": "str", "default": ""},
    "field": {"type": "str", "default": "version"},
    "container": {"type": "str", "default": ""},
    "label": {"type": "str", "default": "org.opencontainers.image.revision"},
    "engine": {"type": "str", "default": "docker"},
    "path": {"type": "path", "default": ""},
    "timeout": {"type": "float", "default": 3.0},
}
_WHAT = "find out which commit runs"


def _nowhere(_options: Mapping[str, Any]) -> str:
    raise UsageError(
        _WHAT,
        got="nobody told where it can be seen",
        next_step="set deploy_running: an address that tells it, the container with the label, or a file",
        kind="unconfigured",
    )


def _of_url(options: Mapping[str, Any]) -> str:
    """A service that is not ready tells its version all the same: the status does not matter here."""
    answer = ask(options["url"], timeout=options["timeout"])
    told = answer.body
    for name in options["field"].split("."):
        told = told.get(name) if isinstance(told, Mapping) else None
    if not isinstance(told, str) or not told:
        raise OncallError(
            _WHAT,
            on=options["url"],
            got=answer.problem or "the answer has no text %s" % options["field"],
            next_step="bring the service up, or correct deploy_running.field",
            # An answer without the field will not have it after the next deployment either.
            kind="not_told" if isinstance(answer.body, Mapping) else "silent",
        )
    return told


def _of_label(options: Mapping[str, Any]) -> str:
    template = '{{ index .Config.Labels "%s" }}' % options["label"]
    done = run(
        [options["engine"], "inspect", "--type", "container", "--format", template, options["container"]],
        timeout=options["timeout"],
    )
    told = done.out.strip()
    if done.rc != 0 or told in ("", "<no value>"):
        raise OncallError(
            _WHAT,
            on="container %s" % options["container"],
            got=done.err.strip()[-200:] or "it has no label %s" % options["label"],
            next_step="start the container, or have the build set the label",
            kind="silent" if done.rc else "not_told",
        )
    return told


def _of_file(options: Mapping[str, Any]) -> str:
    told = tail_file(options["path"], 4096).strip()
    if not told:
        raise OncallError(
            _WHAT, on=options["path"], got="the file is empty", next_step="deploy again", kind="silent"
        )
    return told.split()[0]


_WAYS: Dict[str, Callable[[Mapping[str, Any]], str]] = {
    "none": _nowhere,
    "url": _of_url,
    "label": _of_label,
    "file": _of_file,
}


def running_sha(options: Mapping[str, Any]) -> str:
    """Return the id that is told of the commit that runs (maybe abbreviated); raises OncallError."""
    return _WAYS[options["kind"]](options)


def require_told(options: Mapping[str, Any]) -> None:
    """Raise UsageError when what runs is asked at a place that answers and does not tell it.

    Nobody could tell then a deployment that went well from one that did not.
    """
    if options["kind"] == "none":
        return
    try:
        running_sha(options)
    except OncallError as exc:
        if exc.kind == "not_told":
            raise UsageError(
                _WHAT,
                on=exc.on,
                got="%s; nothing was changed" % exc.got,
                next_step="correct deploy_running in the inventory, or set its kind to none",
                kind="not_told",
            ) from None


def told_commit(git: Git, options: Mapping[str, Any]) -> str:
    """Return the full id of the commit that runs, "" when nobody tells or the checkout does not know it."""
    try:
        return git.resolve(running_sha(options)).sha
    except OncallError:
        return ""


def same_commit(told: str, sha: str) -> bool:
    """Whether an id that may be abbreviated (seven digits at least) names this commit."""
    return len(told) >= 7 and sha.startswith(told.lower())
