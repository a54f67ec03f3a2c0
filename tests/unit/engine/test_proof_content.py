"""What counts as loaded is found in the files themselves, and any edit of it is seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from runbook_engine import loaded, proof
from runbook_engine.ids import new_run_id
from runbook_engine.loaded import LoadedError, Notes
from runbook_engine.project_files import GONE, Project

PLUGINS = "collections/ansible_collections/oncall/runbooks/plugins"
ROLE = "collections/ansible_collections/oncall/runbooks/roles/door"
IMPORT = "from ansible_collections.oncall.runbooks.plugins"
FILES = {
    "ansible.cfg": "[inventory]\nignore_patterns = ^(steps|no_step)\\.yml$\n",
    "playbooks/door_stuck.yml": "[]\n",
    "playbooks/other.yml": "[]\n",
    f"{ROLE}/tasks/open.yml": "[]\n",
    f"{ROLE}/tasks/never.yml": "[]\n",
    f"{ROLE}/defaults/main.yml": "door_width: 90\n",
    f"{ROLE}/templates/note.j2": "{{ door_width }}\n",
    f"{ROLE}/README.md": "A door.\n",
    f"{PLUGINS}/modules/door.py": (
        'DOCUMENTATION = """\nextends_documentation_fragment: [oncall.runbooks.wood]\n"""\n'
        f"{IMPORT}.module_utils.hinge import Hinge\n"
    ),
    f"{PLUGINS}/modules/window.py": "\n",
    f"{PLUGINS}/modules/lock.py": "\n",
    f"{PLUGINS}/action/door.py": (
        f"{IMPORT}.plugin_utils import hand\nMODULE = 'oncall.runbooks.lock'\n"
    ),
    f"{PLUGINS}/doc_fragments/wood.py": "\n",
    f"{PLUGINS}/plugin_utils/hand.py": "\n",
    f"{PLUGINS}/module_utils/hinge.py": "from .metal import iron\nUTILS = 'nothing'\n",
    f"{PLUGINS}/module_utils/metal/__init__.py": "\n",
    f"{PLUGINS}/module_utils/metal/iron.py": (
        "RUST = 'ansible_collections.oncall.runbooks.plugins.module_utils.rust'\n"
    ),
    f"{PLUGINS}/module_utils/rust.py": "\n",
    f"{PLUGINS}/module_utils/unused.py": "\n",
    "plugins/callback/record.py": "from runbook_engine import gate\n",
    "plugins/runbook_engine/__init__.py": "\n",
    "plugins/runbook_engine/gate.py": "\n",
    "plugins/runbook_engine/report.py": "\n",
    "inventories/barn/hosts.yml": "all:\n",
    "inventories/barn/group_vars/all/system.yml": "system: {name: barn}\n",
    "inventories/barn/group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n00\n",
    "inventories/barn/vault.example.yml.txt": "x\n",
    "inventories/barn/steps.yml": "[]\n",
    "inventories/rehearsal/barn/hosts.yml": "all:\n",
}  # fmt: skip
LOADED = {
    "ansible.cfg",
    "playbooks/door_stuck.yml",
    f"{ROLE}/tasks/open.yml",
    f"{ROLE}/defaults/",
    f"{ROLE}/defaults/main.yml",
    f"{ROLE}/templates/",
    f"{ROLE}/templates/note.j2",
    f"{PLUGINS}/modules/door.py",
    f"{PLUGINS}/modules/lock.py",
    f"{PLUGINS}/action/door.py",
    f"{PLUGINS}/doc_fragments/wood.py",
    f"{PLUGINS}/plugin_utils/hand.py",
    f"{PLUGINS}/module_utils/hinge.py",
    f"{PLUGINS}/module_utils/metal/__init__.py",
    f"{PLUGINS}/module_utils/metal/iron.py",
    f"{PLUGINS}/module_utils/rust.py",
    "plugins/callback/record.py",
    "plugins/runbook_engine/__init__.py",
    "plugins/runbook_engine/gate.py",
    "inventories/barn/",
    "inventories/barn/hosts.yml",
    "inventories/barn/group_vars/all/system.yml",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of a door; its files are an hour old."""
    root = tmp_path / "project"
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (hour_ago, hour_ago))
    return root


@pytest.fixture
def run(project: Path, tmp_path: Path) -> Path:
    """The folder of a run that opened the door of the stand-in."""
    folder = tmp_path / "runs" / new_run_id()
    folder.mkdir(parents=True)
    inventories = {str(project / "inventories" / name) for name in ("barn", "rehearsal/barn")}
    files = {
        "ansible.cfg",
        "playbooks/door_stuck.yml",
        f"{ROLE}/tasks/open.yml",
        "plugins/callback/record.py",
    }
    Notes(
        project,
        {str(project / name) for name in files} | {os.__file__},
        {str(project / ROLE)},
        {"oncall.runbooks.door", "ansible.builtin.set_fact"},
        inventories,
    ).write(folder)
    return folder


def test_what_a_run_stands_on_is_followed_to_its_ends(project: Path, run: Path) -> None:
    content = proof.content_of(project, [run])
    assert set(content) == LOADED
    assert proof.differences(Project(project), content) == []


@pytest.mark.parametrize("name", sorted(name for name in LOADED if not name.endswith("/")))
def test_an_edit_of_any_of_it_is_seen(project: Path, run: Path, name: str) -> None:
    content = proof.content_of(project, [run])
    (project / name).write_text((project / name).read_text() + "\n")
    assert proof.differences(Project(project), content) == [name]


@pytest.mark.parametrize("name", sorted(FILES.keys() - LOADED))
def test_an_edit_of_what_was_not_loaded_is_none(project: Path, run: Path, name: str) -> None:
    content = proof.content_of(project, [run])
    (project / name).write_text((project / name).read_text() + "\n")
    assert proof.differences(Project(project), content) == []


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("inventories/barn/host_vars/front.yml", "inventories/barn/"),
        (f"{ROLE}/defaults/more.yml", f"{ROLE}/defaults/"),
    ],
)
def test_a_new_file_is_seen_where_ansible_would_load_it(
    project: Path, run: Path, name: str, where: str
) -> None:
    content = proof.content_of(project, [run])
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("door_width: 70\n")
    assert proof.differences(Project(project), content) == [where]


def test_a_file_that_is_gone_is_seen(project: Path, run: Path) -> None:
    content = proof.content_of(project, [run])
    (project / "playbooks/door_stuck.yml").unlink()
    assert proof.differences(Project(project), content) == ["playbooks/door_stuck.yml"]
    assert Project(project).hash("playbooks/door_stuck.yml") == GONE


def test_a_secret_that_only_this_machine_has_makes_no_difference(project: Path, run: Path) -> None:
    content = proof.content_of(project, [run])
    (project / "inventories/barn/group_vars/all/vault.yml").unlink()
    assert proof.differences(Project(project), content) == []


def test_parts_that_are_links_count_as_what_they_stand_for(project: Path, run: Path, tmp_path: Path) -> None:
    content = proof.content_of(project, [run])
    (project / "collections").rename(tmp_path / "elsewhere")
    (project / "collections").symlink_to(tmp_path / "elsewhere")
    assert proof.content_of(project, [run]) == content


def _without(run: Path) -> None:
    (run / loaded.LOADED).unlink()


def _damaged(run: Path) -> None:
    (run / loaded.LOADED).write_text('{"root": "/"}')


@pytest.mark.parametrize("damage", [_without, _damaged])
def test_a_run_that_noted_nothing_proves_nothing(
    project: Path, run: Path, damage: Callable[[Path], None]
) -> None:
    damage(run)
    with pytest.raises(LoadedError, match="cannot be read") as caught:
        proof.content_of(project, [run])
    assert run.name in caught.value.reason
    assert "rehearse again" in caught.value.next_step


def test_what_was_edited_during_the_rehearsal_proves_nothing(project: Path, run: Path) -> None:
    later = (datetime.now(UTC) + timedelta(seconds=5)).timestamp()
    os.utime(project / "playbooks/door_stuck.yml", (later, later))
    with pytest.raises(LoadedError, match=r"Edited while it was rehearsed: playbooks/door_stuck\.yml"):
        proof.content_of(project, [run])
