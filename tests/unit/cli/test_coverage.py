"""What carries each step of a prose runbook: a small project that maps, and each way not to."""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from runbook.catalog_systems import read_system
from runbook.catalog_yaml import FileError
from runbook.cli import main
from runbook.cli_coverage import print_coverage, summary
from runbook.coverage import Coverage, Problem, check
from runbook.project import Project

COLLECTION = "collections/ansible_collections/oncall/runbooks"
STEPS = "inventories/shop/steps.yml"
NO_STEP = "inventories/shop/no_step.yml"
REHEARSALS = {"disk-full": {"full"}, "other-thing": {"broken"}}
FILES = {
    "ansible.cfg": "",
    "tests/unit/test_disk.py": "",
    "tests/unit/helper.py": "",
    "tests/data/rows.txt": "",
    "molecule/disk_full/tests/test_disk.py": "",
    "plugins/filter/words.py": """
        def spoken(text): return {"shout": text}
        """,
    "inventories/shop/group_vars/all/system.yml": """
        system:
          name: shop
          runbooks: {disk-full: {severity: SEV-1}}
        """,
    "inventories/shop/group_vars/all/disk.yml": """
        disk_candidates: [{kind: logs}]
        disk_nothing:
        disk_outside: [{check: reachable, url: x}]
        """,
    "playbooks/other_thing.yml": """
        - hosts: localhost
          vars: {runbook: {name: other-thing, severity: SEV-2}}
        """,
    "playbooks/disk_full.yml": """
        - hosts: localhost
          vars:
            runbook:
              name: disk-full
              symptoms: [It is full.]
              mitigations: [{name: free, entry_point: oncall.runbooks.disk/free}]
        - hosts: all
          tasks:
            - block:
                - ansible.builtin.include_role:
                    name: oncall.runbooks.disk
                    tasks_from: free
                    apply: {tags: [mitigate, change]}
                  tags: [mitigate, change]
        """,
    f"{COLLECTION}/roles/disk/tasks/free.yml": """
        - name: Free it
          oncall.runbooks.reclaim: {}
          tags: [irreversible]
        - name: Look
          oncall.runbooks.reclaim: {}
        """,
    f"{COLLECTION}/roles/disk/tasks/undo.yml": """
        - name: Both
          tags: change
          block:
            - name: Take it back
              oncall.runbooks.reclaim: {}
        """,
    f"{COLLECTION}/roles/unused/tasks/main.yml": """
        - name: Not of this system
          oncall.runbooks.reclaim: {}
          tags: [change]
        """,
    f"{COLLECTION}/plugins/modules/reclaim.py": """
        from ansible_collections.oncall.runbooks.plugins.module_utils import finder
        DOCUMENTATION = '''
        options: {candidates: {suboptions: {kind: {}}}}
        extends_documentation_fragment: [oncall.runbooks.shared]
        '''
        RETURN = "evidence: {contains: {sha256: {}}}"
        """,
    f"{COLLECTION}/plugins/action/reclaim.py": "NAMED = 'on_controller'",
    f"{COLLECTION}/plugins/module_utils/finder.py": "CHECK = 'data_disk'",
    f"{COLLECTION}/plugins/doc_fragments/shared.py": """
        class ModuleDocFragment:
            pass
        DOCUMENTATION = "options: {timeout: {}}"
        """,
    STEPS: """
        - id: SHOP-1.2
          meaning: Free the disk.
          carried_by: [playbooks/disk_full.yml mitigation free]
          proved_by: [tests/unit/test_disk.py, tests/unit, rehearsal disk-full full]
        - id: SHOP-1.10
          meaning: Tell everybody.
          planned: sending messages
        - id: SHOP-2.1
          meaning: Buy a disk.
          not_automated: A person pays for it.
        """,
    NO_STEP: """
        - {entry_point: disk undo, reason: The prose takes nothing back.}
        """,
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one system, of which everything maps."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return Project(tmp_path, "test")


def checked(project: Project) -> Coverage:
    return check(project, read_system(project.inventories / "shop"), REHEARSALS)


def swap(project: Project, file: str, old: str, new: str) -> None:
    path = project.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def only(project: Project) -> Problem:
    problems = checked(project).problems
    assert len(problems) == 1, problems
    assert problems[0].next_step
    return problems[0]


def test_everything_maps_and_is_counted_apart(project: Project) -> None:
    found = checked(project)
    assert found.problems == ()
    assert [(step.id, step.state) for step in found.steps] == [
        ("SHOP-1.2", "covered"), ("SHOP-1.10", "planned"), ("SHOP-2.1", "not_automated"),
    ]  # fmt: skip
    assert summary(found) == "shop: 3 steps: 1 covered, 1 planned, 1 not automated; everything maps"


PROOF = "proved_by: [tests/unit/test_disk.py, tests/unit, rehearsal disk-full full]"
CARRIER = "playbooks/disk_full.yml mitigation free"


@pytest.mark.parametrize(
    "text",
    [
        "playbooks/disk_full.yml", "playbooks/disk_full.yml symptoms", "disk free", "disk undo",
        "reclaim", "reclaim candidates", "reclaim kind", "reclaim timeout", "reclaim sha256",
        "reclaim data_disk", "reclaim on_controller", "inventories/shop/group_vars/all/disk.yml",
        "inventories/shop/group_vars/all/disk.yml disk_candidates",
        "inventories/shop/group_vars/all/system.yml system.runbooks.disk-full.severity",
        "inventories/shop/group_vars/all/disk.yml disk_outside.reachable",
        "plugins/filter/words.py", "plugins/filter/words.py spoken", "plugins/filter/words.py shout",
    ],
)  # fmt: skip
def test_what_carries(project: Project, text: str) -> None:
    swap(project, STEPS, CARRIER, f"{CARRIER}, {text}")
    (project.root / NO_STEP).write_text("[]" if text == "disk undo" else (project.root / NO_STEP).read_text())
    assert checked(project).problems == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("playbooks/disk_ful.yml", "no such playbook"),
        ("playbooks/disk_full.yml mitigation fre", "no mitigation 'fre'"),
        ("playbooks/disk_full.yml parameters", "no 'parameters'"),
        ("playbooks/other_thing.yml severity", "does not declare"),
        ("reclaim candidate", "neither documents nor emits 'candidate'"),
        ("reclame", "no module, role or file"),
        ("disk", "a role alone"),
        ("disk fre", "no entry point 'fre'"),
        ("inventories/shop/hosts.yml", "no such file"),
        ("inventories/shop/group_vars/all/disk.yml disk_candidate", "sets no 'disk_candidate'"),
        ("inventories/shop/group_vars/all/disk.yml disk_nothing", "sets no 'disk_nothing'"),
        ("inventories/shop/group_vars/all/disk.yml disk_outside.reached", "sets no 'reached'"),
        ("plugins/filter/word.py", "no such file"),
        ("plugins/filter/words.py speak", "nothing in it is called 'speak'"),
        ("README.md", "no module, role or file"),
    ],
)
def test_what_carries_nothing(project: Project, text: str, said: str) -> None:
    swap(project, STEPS, CARRIER, f"{CARRIER}, {text}")
    problem = only(project)
    assert (problem.file, problem.line, problem.id) == (STEPS, 1, "SHOP-1.2")
    assert repr(text) in problem.problem
    assert said in problem.problem


def test_a_near_name_is_told(project: Project) -> None:
    swap(project, STEPS, CARRIER, f"{CARRIER}, reclaim candidate")
    assert only(project).next_step == "did you mean 'candidates'?"


@pytest.mark.parametrize("text", ["molecule/disk_full", "rehearsal disk-full"])
def test_what_proves(project: Project, text: str) -> None:
    swap(project, STEPS, "tests/unit/test_disk.py", text)
    assert checked(project).problems == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests/unit/test_dusk.py", "no such file or folder"),
        ("tests/unit/helper.py", "no test"),
        ("tests/data", "no test is in that folder"),
        ("src/thing.py", "neither a test nor a rehearsal"),
        ("tests/../ansible.cfg", "neither a test nor a rehearsal"),
        ("rehearsal", "names no runbook"),
        ("rehearsal disk-ful", "no rehearsal of disk-ful"),
        ("rehearsal disk-full ful", "no fault ful"),
        ("rehearsal other-thing", "does not declare other-thing"),
    ],
)
def test_what_proves_nothing(project: Project, text: str, said: str) -> None:
    swap(project, STEPS, "tests/unit/test_disk.py", text)
    problem = only(project)
    assert (problem.file, problem.id) == (STEPS, "SHOP-1.2")
    assert said in problem.problem


@pytest.mark.parametrize(
    ("old", "new", "name", "said"),
    [
        ("  planned: sending messages", "", "SHOP-1.10", "neither carried_by"),
        ("  planned: s", "  not_automated: x\n  planned: s", "SHOP-1.10", "planned and not_automated"),
        ("  planned: sending messages", "  planned:", "SHOP-1.10", "planned is empty"),
        ("  planned: sending messages", "  planned: [a]", "SHOP-1.10", "planned is no text"),
        ("  planned: sending", "  proved: x\n  planned: sending", "SHOP-1.10", "'proved'"),
        ("  planned: sending", "  proved_by: [tests/unit]\n  planned: sending", "SHOP-1.10", "only one of"),
        ("  meaning: Tell everybody.\n", "", "SHOP-1.10", "no meaning"),
        (PROOF, "", "SHOP-1.2", "only one"),
        (PROOF, "proved_by: []", "SHOP-1.2", "only one"),
        (PROOF, "proved_by: [1]", "SHOP-1.2", "no list of texts"),
        ("id: SHOP-2.1", "id: shop two", "shop two", "id is 'shop two'"),
        ("id: SHOP-2.1", "id: SHOP-1.10", "SHOP-1.10", "twice"),
        ("id: SHOP-2.1", "id: SHOP-1.9", "SHOP-1.9", "behind a later id"),
    ],
)  # fmt: skip
def test_entries_that_are_malformed(project: Project, old: str, new: str, name: str, said: str) -> None:
    swap(project, STEPS, old, new)
    problem = only(project)
    assert (problem.file, problem.id) == (STEPS, name)
    assert said in problem.problem


def test_a_changing_task_that_no_step_carries_is_named_where_it_stands(project: Project) -> None:
    swap(project, STEPS, CARRIER, "reclaim")
    problem = only(project)
    assert problem.file == f"{COLLECTION}/roles/disk/tasks/free.yml"
    assert (problem.line, problem.id) == (1, "disk free")
    assert "'Free it'" in problem.problem
    assert "irreversible" in problem.problem
    assert NO_STEP in problem.next_step


def test_an_effect_is_inherited_from_the_block(project: Project) -> None:
    (project.root / NO_STEP).unlink()
    problem = only(project)
    assert (problem.line, problem.id) == (4, "disk undo")
    assert "'Take it back'" in problem.problem


def test_a_changing_task_of_the_playbook_itself_counts_too(project: Project) -> None:
    path = project.playbooks / "disk_full.yml"
    path.write_text(path.read_text() + "    - {name: Itself, tags: [change], oncall.runbooks.reclaim: {}}\n")
    assert only(project).id == "playbooks/disk_full.yml"
    swap(project, STEPS, CARRIER, f"{CARRIER}, playbooks/disk_full.yml")
    assert checked(project).problems == ()


def test_roles_that_roles_use_count_too(project: Project) -> None:
    path = project.root / COLLECTION / "roles/disk/tasks/free.yml"
    path.write_text(path.read_text() + "- include_role: {name: oncall.runbooks.unused}\n")
    assert only(project).id == "unused main"


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("- {entry_point: disk look, reason: x}", "disk look", "changes nothing"),
        ("- {entry_point: disk free, reason: x}", "disk free", "a step is carried"),
        ("- {entry_point: disk free}", "disk free", "no reason"),
        ("- disk free", "-", "no mapping"),
    ],
)
def test_excuses_that_excuse_nothing(project: Project, text: str, name: str, said: str) -> None:
    path = project.root / NO_STEP
    path.write_text(path.read_text() + text)
    problem = only(project)
    assert (problem.file, problem.id) == (NO_STEP, name)
    assert said in problem.problem


def test_a_system_without_steps_does_not_map(project: Project) -> None:
    (project.root / STEPS).unlink()
    assert [p.problem for p in checked(project).problems if p.file == STEPS] == ["is missing"]


def test_a_file_that_is_no_list_is_refused_with_its_name(project: Project) -> None:
    (project.root / STEPS).write_text("a: b\n")
    with pytest.raises(FileError, match=r"steps\.yml:1: is no list"):
        checked(project)


def test_the_screen_lists_every_step_and_problem_in_80_columns(project: Project) -> None:
    swap(project, STEPS, CARRIER, "reclaim")
    screen = io.StringIO()
    print_coverage(Console(file=screen, width=80, no_color=True), checked(project))
    told = screen.getvalue()
    for text in (
        "SHOP-1.2 ",
        "SHOP-1.10",
        "sending messages",
        "SHOP-2.1",
        "A person pays",
        "disk undo",
        "'Free it'",
    ):
        assert text in told
    assert max(map(len, told.splitlines())) <= 80
    assert told.endswith("shop: 3 steps: 1 covered, 1 planned, 1 not automated; 1 problem\n")


def test_the_command_exits_9_with_the_problem_in_json(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["coverage", "shop", "--json", "--project", str(project.root)]
    # The faults that can be rehearsed are those of the installed package: it knows no disk-full.
    assert main(argv) == 9
    told = json.loads(capsys.readouterr().out)["systems"][0]
    assert told["counts"] == {"steps": 3, "covered": 1, "planned": 1, "not_automated": 1}
    assert (told["maps"], told["problems"][0]["id"]) == (False, "SHOP-1.2")
    swap(project, STEPS, ", rehearsal disk-full full", "")
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["systems"][0]["maps"] is True


def test_an_installed_project_has_no_tests_to_look_at(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.root / "tests").rename(project.root / "other")
    assert main(["coverage", "--project", str(project.root)]) == 2
    assert "has no tests" in capsys.readouterr().err
