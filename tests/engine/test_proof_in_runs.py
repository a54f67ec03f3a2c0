"""What real runs do where a system wants its runbooks proved, and what a rehearsal's run notes."""

from __future__ import annotations

import json
import shutil

from runbook_engine import proof, proof_store
from runbook_engine.ids import new_run_id

from .conftest import Engine

APPLY = ("-e", "mitigation=oil", "-e", "confirm=barn")
ASKED = {"NEEDS_PROOF": "yes"}


def test_what_is_not_proved_is_refused_unless_somebody_says_why(engine: Engine) -> None:
    engine.stdout_callback = "console"
    refused = engine.run(*APPLY, **ASKED)
    assert refused.exit == (4, "refused"), refused.output
    assert refused.result["refusal"]["kind"] == "proof"
    said = " ".join(refused.output.split())
    assert "door-stuck is not proved for barn: it was never rehearsed" in said
    assert "runbook rehearse barn door-stuck --all" in said
    assert "-e override='WHY'" in said
    assert not engine.done()
    forced = engine.run(*APPLY, "-e", "override='it burns'", **ASKED)
    assert forced.exit == (0, "verified"), forced.output
    assert forced.result["gate"]["override"] == "it burns"
    assert forced.result["gate"]["proof"]["state"] == proof.NEVER
    assert "OVERRIDDEN, because: it burns" in " ".join(forced.output.split())
    assert "OVERRIDE: this is not proved" in " ".join(forced.output.split())


def test_a_rehearsal_needs_no_proof_and_makes_it(engine: Engine) -> None:
    overlay = engine.folder / "inventories" / "rehearsal" / "barn"
    overlay.mkdir(parents=True)
    shutil.copy(engine.fixtures / "hosts.yml", overlay)
    run = engine.run(*APPLY, "-i", str(overlay), **ASKED)
    assert run.exit == (0, "verified"), run.output
    assert "proof" not in run.result["gate"]
    content = proof.content_of(engine.root, run.folders)
    role = "playbooks/roles/run"
    assert {
        "fixtures/door_stuck.yml",
        f"{role}/tasks/gate.yml",
        f"{role}/defaults/",
        "plugins/callback/record.py",
        "plugins/action/run_lock.py",
        "plugins/filter/runbook.py",
        "plugins/runbook_engine/gate.py",
        "collections/ansible_collections/oncall/runbooks/plugins/module_utils/lease/file.py",
    } <= set(content)
    # The way back was not rehearsed, so it is not proved.
    assert not {f"{role}/tasks/undo_one.yml", "fixtures/roles/door/tasks/wipe.yml"} & set(content)
    proved = {
        "rehearsal": new_run_id(),
        "system": "barn",
        "runbook": "door-stuck",
        "fault": "dry",
        "faults": ["dry"],
        "passed": True,
        "content": content,
    }
    folder = engine.state / proof_store.FOLDER / proved["rehearsal"]
    folder.mkdir(parents=True)
    (folder / proof_store.FILE).write_text(json.dumps(proved))
    done = engine.run(*APPLY, **ASKED)
    assert done.exit == (0, "verified"), done.output
    assert done.result["gate"]["proof"]["state"] == proof.PROVED
    assert "override" not in done.result["gate"]
