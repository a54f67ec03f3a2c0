#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exchange a secret where it lives, and prove which one the services take."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: secret_rotate
short_description: Exchange a secret, start its services again, prove that the old one is refused
version_added: 0.1.0
description:
  - Generates a secret, writes it where it lives, starts the services that read it in the order given, each
    well before the next, and proves at O(verify) that they take the new secret and refuse the old one.
  - Looks first. What takes a token of a secret that nobody knows could prove nothing, and a service that cannot
    be started again with a changed secret is refused, before anything is changed.
  - Puts the old secret back when the new one is not proved, unless it leaked (O(breach)).
  - A run that was cut off, or whose new secret was not proved, may be gone on with by another one, whose undo then goes
    back to the secret from before both. A secret that was lost, or is too short to sign with, cannot be put back.
    What can be taken back is said in check mode, too.
  - No secret is ever shown, logged, or part of a result. The old one is kept only for an undo, in one private
    file of the run on the same host, and not at all after a breach.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.service
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: It asks the services with the old and with a foreign secret, and writes nothing.
  diff_mode:
    details: It tells lengths, never values.
  idempotent:
    support: none
    details: Each run makes a new secret.
options:
  state:
    description:
      - V(rotated) puts a new secret in place.
      - V(undone) puts the one from before back, V(released) deletes the private copy that makes that possible.
    type: str
    choices: [rotated, undone, released]
    default: rotated
  destination:
    description: Where the secret lives.
    type: dict
    required: true
    suboptions:
      kind:
        description:
          - A line of a settings file on the target, or AWS, or a setting of a service at Render.
          - Vendors are reached from the controller. Render deploys the service again, what was built last.
        type: str
        choices: [env_file, aws_secrets_manager, render]
        default: env_file
      path:
        description: The settings file, kind V(env_file). Mode and owner stay.
        type: path
      key:
        description:
          - Name of the setting. For V(aws_secrets_manager) a key of a JSON object, or empty for the whole.
        type: str
        default: ""
      secret_id:
        description: Name or ARN of the secret, kind V(aws_secrets_manager).
        type: str
      endpoint_url:
        description: Address of the API. Empty means AWS in O(destination.region), or Render.
        type: str
        default: ""
      region:
        description: Region of the secret.
        type: str
        default: ""
      access_key:
        description: Access key id. Without it the environment, the profile or the instance role is used.
        type: str
        default: ""
      secret_key:
        description: Secret of the access key. Never shown or logged, and never leaves the controller.
        type: str
        default: ""
      session_token:
        description: Session token of temporary credentials. Never shown or logged.
        type: str
        default: ""
      service_id:
        description: Id of the service, kind V(render).
        type: str
        default: ""
      token:
        description: Key of Render's API. Never shown or logged, and never leaves the controller.
        type: str
        default: ""
      profile:
        description: Profile of the controller's AWS configuration.
        type: str
        default: ""
  length:
    description: Characters of the new secret, in hexadecimal; 32 at least.
    type: int
    default: 64
  breach:
    description:
      - The old secret leaked, so it must not come back.
      - No copy of it is kept, an undo is not possible, and a failed proof leaves the new secret in place.
    type: bool
    default: false
  verify:
    description: Addresses that take a token made with the right secret and refuse every other.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Address, as this host (for AWS the controller) sees it. Redirects are not followed.
        type: str
        required: true
      kind:
        description:
          - V(jwt_hs256) sends a JSON Web Token signed with the secret, V(bearer) the secret itself.
          - V(login_hs256) logs in and sees with which secret the token is signed that comes back, for services that
            take only tokens which they have issued.
        type: str
        choices: [jwt_hs256, bearer, login_hs256]
        default: jwt_hs256
      claims:
        description: Claims of the token. C(iat) and C(exp) are added.
        type: dict
        default: {}
      login:
        description: What is posted as JSON to log in, kind V(login_hs256). Never shown or logged.
        type: dict
        default: {}
      token_field:
        description: Field of the answer to a login that has the token.
        type: str
        default: token
      then:
        description: Another address that the token of a login is shown to; it must not refuse it.
        type: str
        default: ""
      header:
        description: Header that carries the token.
        type: str
        default: Authorization
      prefix:
        description: What stands before the token in the header.
        type: str
        default: "Bearer "
      accepted:
        description: Statuses that mean that the token is good.
        type: list
        elements: int
        default: [200]
      refused:
        description: Statuses that mean that it is not.
        type: list
        elements: int
        default: [401]
      timeout:
        description: Seconds for one answer.
        type: float
        default: 5
  run:
    description:
      - Id of the run, which names the private copy. For V(undone) and V(released) the run that rotated.
      - Default is E(ONCALL_RUN_ID) of the controller, else a new id.
    type: str
  receipt:
    description: What the rotation recorded in its C(undo), for V(undone).
    type: dict
    default: {}
  private_dir:
    description: Folder on the target, for V(render) on the controller, for private files of runs.
    type: path
    default: /var/lib/oncall-runbooks
  evidence_dir:
    description: Folder on the target for the ends of the logs. Without it they are returned in C(evidence).
    type: path
  stop_timeout:
    description: Seconds that each service gets to stop in order.
    type: float
    default: 10
  timeout:
    description: Seconds after which each service has to serve again, and take the right secret.
    type: float
    default: 60
requirements:
  - boto3 (on the controller, for O(destination.kind=aws_secrets_manager) only)
"""

EXAMPLES = r"""
- name: Give the services a new signing secret
  oncall.runbooks.secret_rotate:
    destination: {kind: env_file, path: /opt/roost/.env.prod, key: AUTH_JWT_SECRET}
    services: "{{ service_list | selectattr('name', 'in', ['auth', 'relay', 'owl_api']) }}"
    verify:
      - url: http://127.0.0.1:8082/verify
        claims: {sub: canary}

- name: The same after a leak
  oncall.runbooks.secret_rotate:
    destination: {kind: env_file, path: /opt/roost/.env.prod, key: AUTH_JWT_SECRET}
    breach: true
    services: "{{ service_list }}"
    verify:
      - url: http://127.0.0.1:8082/verify
"""

RETURN = r"""
baseline:
  description: What each address said before to the old secret and to a foreign one.
  returned: when rotated or undone
  type: list
  elements: dict
verified:
  description: What each address says now to the good and to the bad secret.
  returned: when not in check mode
  type: list
  elements: dict
  sample: [{url: "http://127.0.0.1:8082/verify", good: accepted, bad: refused}]
prediction:
  description: What changes, and whom it logs out.
  returned: always
  type: dict
evidence:
  description: The ends of the services' logs from before they were started again.
  returned: always
  type: list
  elements: dict
undo:
  description: How it is taken back, or why it cannot be; also of a failure that left another secret in place.
  returned: when rotated or undone
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.services import SERVICE_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import CHECK_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.consumers import LocalConsumers
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.env_file import EnvFileDestination
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.rotate import Rotation, carry_out

DESTINATION_SPEC: Dict[str, Any] = {
    "kind": {"type": "str", "choices": ["env_file", "aws_secrets_manager", "render"], "default": "env_file"},
    "path": {"type": "path"},
    "key": {"type": "str", "default": "", "no_log": False},
    "secret_id": {"type": "str", "no_log": False},
    "endpoint_url": {"type": "str", "default": ""},
    "region": {"type": "str", "default": ""},
    "access_key": {"type": "str", "default": "", "no_log": True},
    "secret_key": {"type": "str", "default": "", "no_log": True},
    "session_token": {"type": "str", "default": "", "no_log": True},
    "service_id": {"type": "str", "default": ""},
    "token": {"type": "str", "default": "", "no_log": True},
    "profile": {"type": "str", "default": ""},
}


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Rotate the secret of a settings file of this host, or take that back, and return the module's result."""
    where = params["destination"]
    if where["kind"] != "env_file" or not where["path"] or not where["key"]:
        raise UsageError(
            "rotate a secret on this host",
            got="only a line of a settings file is here, and it needs a path and a key",
            next_step="set destination.path and destination.key",
        )
    destination = EnvFileDestination(where["path"], where["key"])
    rotation = Rotation.from_options(params, destination, LocalConsumers(params["services"], params))
    return carry_out(rotation, params, check_mode=check_mode)


def main() -> None:
    """Validate the options, rotate, exit."""
    spec: Dict[str, Any] = {
        "state": {"type": "str", "choices": ["rotated", "undone", "released"], "default": "rotated"},
        "destination": {"type": "dict", "options": DESTINATION_SPEC, "required": True},
        "length": {"type": "int", "default": 64},
        "breach": {"type": "bool", "default": False},
        "services": {"type": "list", "elements": "dict", "options": SERVICE_SPEC, "required": True},
        "verify": {"type": "list", "elements": "dict", "options": CHECK_SPEC, "required": True},
        "run": {"type": "str"},
        "receipt": {"type": "dict", "default": {}},
        "private_dir": {"type": "path", "default": "/var/lib/oncall-runbooks"},
        "evidence_dir": {"type": "path"},
        "stop_timeout": {"type": "float", "default": 10.0},
        "timeout": {"type": "float", "default": 60.0},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
