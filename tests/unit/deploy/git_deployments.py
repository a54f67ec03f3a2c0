"""Deployments of the small project, and what a refusal must leave as it was."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import deploy
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from deploy_world import World

RUN = "20261121t064300z-7f3a9c"
KEPT = f"oncall/kept-{RUN}"


def two(world: World) -> tuple[str, str]:
    """Make a second deployment; return the good commit and the bad one, which is live."""
    good = world.git("rev-parse", "HEAD")
    bad = world.commit("Break it", {"app.py": "two\n", "new.py": "new\n"}, deploy=True)
    return good, bad


def refused(world: World, **options: Any) -> OncallError:
    """Deploy, and return the error."""
    with pytest.raises(OncallError) as caught:
        deploy(world.options(**options), check_mode=False)
    return caught.value


def state(world: World) -> dict[str, str]:
    """Everything that a refusal must not touch."""
    files = {
        str(path.relative_to(world.app)): path.read_text()
        for path in sorted(world.app.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }
    refs = world.git("for-each-ref", "--format=%(refname) %(objectname)")
    return {**files, "HEAD": world.git("rev-parse", "HEAD"), "refs": refs, "live": world.live}
