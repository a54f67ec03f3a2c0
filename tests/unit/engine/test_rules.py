"""The rules without Ansible: what is advised, what may be asked for, what the gate lets through."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import gate, recommend, render, request
from runbook_engine.errors import UsageError
from runbook_engine.pick import effect_of, phase_of, picked

HEADER: dict[str, Any] = {
    "name": "door-stuck",
    "group": "doors",
    "severity": "SEV-2",
    "mitigations": [
        {
            "name": "oil",
            "advised_when": "status.hinges == 'fail'",
            "entry_point": "a.b.door/oil",
            "parameters": [
                {"name": "drops", "type": "int", "required": True},
                {"name": "brand", "choices": ["thin"]},
            ],
        },
        {"name": "replace", "advised_when": "contains(findings[?check == 'frame'].observed | [], 'broken')"},
    ],
}
SYSTEM = {"name": "barn", "runbooks": {"door-stuck": {"severity": "SEV-1", "recovery_minutes": 5}}}
GROUPS = {"all": ["front"], "doors": ["front"]}


def _finding(check: str, status: str, observed: Any = None) -> dict[str, Any]:
    return {"check": check, "host": "front", "status": status, "observed": observed, "summary": "so"}


@pytest.mark.parametrize(
    ("findings", "advised"),
    [
        ([], []),
        ([_finding("hinges", "ok")], []),
        ([_finding("hinges", "ok"), _finding("hinges", "fail")], ["oil"]),
        ([_finding("frame", "warn", "broken")], ["replace"]),
        ([_finding("frame", "fail", "broken"), _finding("hinges", "fail")], ["oil", "replace"]),
    ],
)
def test_recommendation_follows_the_findings_in_the_headers_order(
    findings: list[dict[str, Any]], advised: list[str]
) -> None:
    advice = recommend.recommend(HEADER, findings)
    assert [m["name"] for m in advice["advised"]] == advised
    assert len(advice["advised"]) + len(advice["others"]) == 2


def test_a_condition_that_is_no_jmespath_names_its_mitigation() -> None:
    header = {"mitigations": [{"name": "oil", "advised_when": "status.["}]}
    with pytest.raises(UsageError, match="mitigation oil"):
        recommend.recommend(header, [_finding("hinges", "ok")])


def _ask(variables: dict[str, Any], **changed: Any) -> dict[str, Any]:
    given = {"header": HEADER, "system": SYSTEM, "groups": GROUPS, "options": list(variables)} | changed
    return request.check_request(
        given["header"], given["system"], given["groups"], variables, given["options"]
    )


def test_a_parameter_of_the_runbook_is_one_of_a_diagnosis_and_of_every_mitigation() -> None:
    header = {**HEADER, "parameters": [{"name": "since", "type": "str"}]}
    assert _ask({"since": "noon"}, header=header)["parameters"] == {"since": "noon"}
    both = {"mitigation": "oil", "drops": "3", "since": "noon"}
    assert _ask(both, header=header)["parameters"] == {"since": "noon", "drops": "3"}
    with pytest.raises(UsageError, match="There is no option sinse"):
        _ask({"sinse": "noon"}, header=header)


def test_a_good_request_is_opened_with_what_the_system_declares() -> None:
    opened = _ask({"mitigation": "oil", "drops": "3", "confirm": "barn"})
    assert opened["severity"] == "SEV-1"
    assert opened["clocks"] == {"recovery_minutes": 5}
    assert opened["parameters"] == {"drops": "3"}
    assert _ask({"mitigation": "", "undo": ""})["mitigation"] is None


@pytest.mark.parametrize(
    ("variables", "changed", "said"),
    [
        ({}, {"system": None}, "which system"),
        ({}, {"groups": {"all": []}}, "no group doors"),
        ({}, {"groups": {"doors": []}}, "has no host"),
        ({"mitigation": "oyl"}, {}, "Did you mean oil"),
        ({"mitigation": "oil"}, {}, "needs drops"),
        ({"mitigation": "oil", "drops": "many"}, {}, "no int"),
        ({"mitigation": "oil", "drops": 1, "brand": "thik"}, {}, "Did you mean thin"),
        ({"mitigation": "replace", "undo": "x"}, {}, "both given"),
        ({"mitigaton": "oil"}, {}, "Did you mean mitigation"),
    ],
)
def test_a_bad_request_says_what_is_wrong(variables: dict[str, Any], changed: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _ask(variables, **changed)


def test_variables_of_the_inventorys_roles_are_options() -> None:
    variables = {"door_width": 80, "door_height": 200}
    assert _ask(variables, options=["door_height", "ansible_user"])["targets"] == ["front"]


def _asked(**changed: Any) -> gate.Request:
    opened = _ask({"mitigation": "oil", "drops": 3})
    events = [
        {"type": "run.started", "at": "2026-11-21T06:43:00.000000Z", "data": {"commit": "abc"}},
        {"type": "run.opened", "at": "2026-11-21T06:43:00.000000Z", "data": opened},
        {
            "type": "step.finished",
            "at": "2026-11-21T06:43:00.000000Z",
            "data": {"phase": "diagnose", "findings": [_finding("hinges", "fail")]},
        },
    ]
    given: dict[str, Any] = {
        "header": HEADER,
        "events": events,
        "targets": ["front"],
        "alive": ["front"],
        "check_mode": False,
        "confirm": "barn",
        "content": "sha256:1",
        "now": 1795243380.0 + 60,
    }
    return gate.Request(**given | changed)


def test_the_gate_lets_through_what_is_right() -> None:
    assert gate.judge(_asked())["mode"] == "apply"
    plan = gate.judge(_asked(check_mode=True, confirm=""))
    assert plan["passed"]
    assert plan["mode"] == "plan"


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"events": []}, "not_opened"),
        ({"targets": []}, "targets"),
        ({"alive": []}, "targets"),
        ({"now": 1795243380.0 + 1000}, "findings"),
        ({"expected_digest": "sha256:0"}, "digest"),
        ({"confirm": ""}, "confirm"),
        ({"confirm": "Barn"}, "confirm"),
    ],
)
def test_the_gate_refuses(changed: dict[str, Any], kind: str) -> None:
    with pytest.raises(gate.Refused) as caught:
        gate.judge(_asked(**changed))
    assert caught.value.kind == kind
    assert caught.value.next_step


def test_anything_that_differs_changes_the_digest() -> None:
    base = gate.make_plan(_asked())["digest"]
    assert gate.make_plan(_asked(check_mode=True, confirm=""))["digest"] == base
    for changed in (
        {"targets": ["front", "back"]},
        {"content": "sha256:2"},
        {"undos": [{"step": "1@front"}]},
    ):
        assert gate.make_plan(_asked(**changed))["digest"] != base


def test_only_known_keys_of_a_result_are_kept() -> None:
    canary = "canary-17"
    result = {
        "changed": True,
        "invocation": {"module_args": {"password": canary}},
        "stdout": canary,
        "results": [{"undo": {"summary": "a"}}, {"undo": {"summary": "b"}, "stdout": canary}],
    }
    kept = picked(result, "front")
    assert kept == {"undo": [{"summary": "a"}, {"summary": "b"}]}
    assert picked({"censored": "hidden", "msg": canary}, "front", failed=True) == {"no_log": True}


def test_a_loops_failure_says_what_its_item_said() -> None:
    result = {
        "msg": "One or more items failed",
        "results": [{"msg": "fine"}, {"failed": True, "msg": "boom"}],
    }
    assert picked(result, "front", failed=True)["msg"] == "boom"


def test_tags_carry_phase_and_effect() -> None:
    assert (phase_of(["always", "verify"]), effect_of(["verify"])) == ("verify", "read")
    assert phase_of(["recommend", "engine"]) == "engine"
    assert effect_of(["change", "irreversible"]) == "irreversible"


def test_everything_shown_fits_eighty_columns() -> None:
    long = {**_finding("a_check_with_a_rather_long_name", "fail"), "summary": "word " * 60}
    lines = render.findings([long, _finding("hinges", "ok")])
    lines += render.step("a step with a name that goes on " * 4, "roost-prod", "changed", 75.0)
    lines += render.recommendation({"advised": [{"name": "x", "title": "t " * 60, "reason": "r " * 90}]})
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("✗ fail")
    assert "1 min 15 s" in "\n".join(lines)


@pytest.mark.parametrize(
    ("changed", "typed"),
    [
        ({"confirm": ""}, "--apply --confirm barn"),
        ({"confirm": "Barn"}, "--apply --confirm barn"),
        ({"events": "unopened"}, "--limit HOST"),
        ({"approval_needed": True}, "--break-glass WHY"),
    ],
)
def test_a_refusal_speaks_the_language_of_its_door(changed: dict[str, Any], typed: str) -> None:
    said = {}
    for door in ("runbook", "ansible-playbook", "awx"):
        asked = _asked(**{k: v for k, v in changed.items() if k == "confirm"})
        asked.events[0]["data"]["door"] = door
        if "events" in changed:
            del asked.events[1]
        if "approval_needed" in changed:
            asked.opened["approval"] = {"required": True, "expires_minutes": 15}
        with pytest.raises(gate.Refused) as caught:
            gate.judge(asked)
        said[door] = caught.value.next_step
    assert typed in said["runbook"]
    assert "-e " not in said["runbook"]
    assert "--check" not in said["runbook"]
    assert "--apply" not in said["ansible-playbook"] + said["awx"]


def test_a_parameter_that_is_missing_is_asked_for_in_the_words_of_the_door() -> None:
    with pytest.raises(UsageError) as caught:
        request.check_request(HEADER, SYSTEM, GROUPS, {"mitigation": "oil"}, ["mitigation"], door="runbook")
    assert "--param drops=" in caught.value.next_step
