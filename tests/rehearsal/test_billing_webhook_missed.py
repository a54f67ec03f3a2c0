"""Missed webhooks, rehearsed by the command that users type; and what a rehearsal alone does not show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal import stack
from runbook.rehearsal.cases.roost.billing_webhook_missed import BillingWebhookMissed
from runbook.rehearsal.symptoms import stripe

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ansible.cfg", "collections", "inventories", "playbooks", "plugins")

pytestmark = pytest.mark.slow


def rehearse(state: Path, *arguments: str, project: Path = ROOT) -> tuple[int, str]:
    """Run `runbook rehearse`; return exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "runbook.cli", "rehearse", "roost", "billing-webhook-missed",
         "--scale", "10MB", "--state", str(state), "--project", str(project), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_lost_event_has_its_mitigation_and_health_has_none(tmp_path: Path) -> None:
    code, output = rehearse(tmp_path / "state", "--control")
    assert code == 0, output
    assert "canary" not in output.lower()


def test_a_runbook_that_activates_nobody_is_caught(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for part in PARTS:
        copy: Any = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        project.mkdir(exist_ok=True)
        copy(ROOT / part, project / part)
    playbook = project / "playbooks" / "billing_webhook_missed.yml"
    sabotaged = playbook.read_text().replace("tasks_from: activate\n", "tasks_from: status\n")
    assert sabotaged != playbook.read_text()
    playbook.write_text(sabotaged)
    code, output = rehearse(tmp_path / "state", "--fault", "event-swallowed", project=project)
    assert (code != 0, "FAILED" in output) == (True, True), output


@pytest.fixture
def broken() -> Iterator[stack.Stack]:
    """A stack in which somebody has paid and the handler is out of order, for good."""
    with stack.running(stack.Options(scale=0.2, parts=BillingWebhookMissed.parts)) as made:
        stripe.lose_for_good(made)
        yield made


def run(
    made: stack.Stack, state: Path, *variables: str, playbook: str = "billing_webhook_missed"
) -> tuple[int, dict[str, Any]]:
    """Run a playbook as `ansible-playbook` would be by hand; return exit code and the newest result."""
    arguments = [part for variable in variables for part in ("-e", variable)]
    inventories = ["-i", "inventories/roost", "-i", "inventories/rehearsal/roost"]
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, *inventories, f"playbooks/{playbook}.yml", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "REHEARSAL_STACK": str(made.path), "RUNBOOK_STATE": str(state)},
    )  # fmt: skip
    assert "canary" not in (done.stdout + done.stderr).lower()
    newest = max(state.glob("runs/*/result.json"))
    return done.returncode, json.loads(newest.read_text())


def test_when_sending_again_fails_the_subscriber_is_activated_by_hand(
    broken: stack.Stack, tmp_path: Path
) -> None:
    (who,) = stripe.buyers(broken)
    code, result = run(broken, tmp_path, "mitigation=resend-event", "confirm=roost")
    assert code != 0
    assert "activate-subscriber" in result["exit"]["reason"]
    assert stripe.refused(broken, who.token)

    address = json.dumps({"subscriber_email": who.email})
    code, result = run(broken, tmp_path, "mitigation=activate-subscriber", "confirm=roost", address)
    assert (code, result["exit"]["name"]) == (0, "verified"), result["exit"]
    assert not stripe.refused(broken, who.token)
    assert stripe.refused(broken, who.stolen)


@pytest.mark.parametrize("email", ["nobody@example.org", "x' OR '1'='1"])
def test_an_address_that_is_nobodys_activates_nobody(broken: stack.Stack, tmp_path: Path, email: str) -> None:
    (who,) = stripe.buyers(broken)
    address = json.dumps({"subscriber_email": email})
    code, result = run(broken, tmp_path, "mitigation=activate-subscriber", "confirm=roost", address)
    assert (code != 0, result["exit"]["code"]) == (True, 20), result["exit"]
    assert "nobody has it" in result["exit"]["reason"]
    assert stripe.refused(broken, who.token)


def test_after_a_restore_it_is_said_what_stripe_knows_and_the_backup_did_not(tmp_path: Path) -> None:
    parts = BillingWebhookMissed.parts | {"backups"}
    with stack.running(stack.Options(scale=0.2, parts=parts)) as made:
        stripe.buy(made)
        code, result = run(made, tmp_path, "mitigation=restore", "confirm=roost", playbook="database_failure")
    assert (code, result["exit"]["name"]) == (0, "verified"), result["exit"]
    (found,) = [f for f in result["verification"]["findings"] if f["check"] == "billing_missed"]
    assert (found["status"], found["observed"]["count"]) == ("warn", 1)
    assert found["summary"].endswith("Next: runbook run roost billing-webhook-missed")
