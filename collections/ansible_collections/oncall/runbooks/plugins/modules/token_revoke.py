#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Revoke the tokens of an application in its PostgreSQL database, and take exactly that back."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: token_revoke
short_description: Revoke an application's tokens, and take exactly that back
version_added: 0.1.0
description:
  - Sets the time of revocation on every active token in O(scope), in any number of tables.
  - Never touches a token that was revoked before, so earlier times and reasons stay what they were.
  - Finds what is wrong (tables, columns, types, rights, ids, clocks) before anything is changed.
  - Works in short transactions, in the order of the key, that shrink until no other client waits longer than O(max_wait_ms).
    What others hold locked is left for later instead of waited for.
  - Repeats until a whole pass over all tables finds nothing, so tokens issued meanwhile are revoked too.
    Where tokens are issued faster than that, it looks for the last time under a lock of less than O(max_wait_ms), and fails
    with the number that is left where no such look is quick enough.
  - Keeps a ledger of every key, so that an undo makes active exactly what this run revoked and nobody revoked since.
  - May be killed at any time. The same O(run) goes on where it ended.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Counts by table in a session that the server keeps from writing; returns the same keys as for real.
  diff_mode:
    details: Numbers of active and revoked tokens by table, and the epoch; never a key or a token.
  idempotent:
    details: An O(epoch) is moved once by each O(run).
options:
  database:
    description: Database of the application.
    type: str
    required: true
  state:
    description:
      - V(revoked) revokes.
      - V(restored) takes the revocation of O(run) back. It needs O(run), O(database) and O(ledger) only.
    type: str
    choices: [revoked, restored]
    default: revoked
  run:
    description:
      - Names the revocation in the ledger and in the sessions (C(oncall-<run>)). Default is a new id.
      - Letters, digits, C(.), C(_) and C(-).
    type: str
    default: ""
  tables:
    description: Tables that hold tokens. Required to revoke.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: Name as C(schema.table), without quotes. Without a schema it is in C(public).
        type: str
        required: true
      key:
        description: Columns that name one row, usually the primary key.
        type: list
        elements: str
        required: true
      revoked_at:
        description: Column that is NULL while a token is active, and else the time of its revocation.
        type: str
        default: revoked_at
      reason:
        description: Column that gets O(reason), if the table has one.
        type: str
        default: ""
      created_at:
        description: Column with the time of issue. Needed for O(scope=issued_before).
        type: str
        default: ""
      subscriber:
        description: Column with the subscriber's id. Needed for O(scope=subscriber) and O(exclude.subscribers).
        type: str
        default: ""
      session:
        description: Column with the session's id. With O(scope=session_ids) only tables that have one are meant.
        type: str
        default: ""
      optional:
        description: Leave the table out, and say so, where it is missing or not as declared.
        type: bool
        default: false
  scope:
    description: Which tokens are meant.
    type: str
    choices: [all, subscriber, issued_before, session_ids]
    default: all
  subscriber:
    description: Id or e-mail address of the subscriber. It must name exactly one.
    type: str
    default: ""
  issued_before:
    description:
      - Time in ISO 8601, UTC when no offset is given, as the database's clock tells it.
      - A token without a time of issue counts as issued before.
    type: str
    default: ""
  session_ids:
    description: Ids of sessions. Each has to be in one of the tables.
    type: list
    elements: str
    default: []
  subscribers:
    description: Table of subscribers, to turn e-mail addresses into ids and to refuse ids that do not exist.
    type: dict
    suboptions:
      table:
        description: Name as C(schema.table).
        type: str
        required: true
      key:
        description: Column with the id.
        type: str
        default: id
      email:
        description: Column with the e-mail address.
        type: str
        default: ""
  exclude:
    description: Break-glass access that must stay.
    type: dict
    suboptions:
      subscribers:
        description: Ids or e-mail addresses.
        type: list
        elements: str
        default: []
      session_ids:
        description: Ids of sessions.
        type: list
        elements: str
        default: []
      reason:
        description: Why these stay. Required when there are any; kept in the ledger.
        type: str
        default: ""
  epoch:
    description:
      - A value that the application checks by itself, "issued before this is void". It is set first, so the revocation
        works at once and the rest only tidies up. Moved forward only.
      - The column holds a time, seconds since 1970, or a text (then ISO 8601 in UTC).
      - Refused together with O(exclude), which it would make void.
    type: dict
    suboptions:
      table:
        description: Name as C(schema.table). Empty means that there is no epoch.
        type: str
        default: ""
      column:
        description: Column that holds it.
        type: str
        default: ""
      where:
        description: Columns and values that name the one row, for example V({"name":"tokens_valid_after"}).
        type: dict
        default: {}
      subscriber:
        description: Column with the subscriber's id, when each has an epoch. It is then used for O(scope=subscriber) only.
        type: str
        default: ""
  reason:
    description: Stored with every token that is revoked. Default is V(breach <run>).
    type: str
    default: ""
  ledger:
    description: Where the keys of what was revoked are kept.
    type: dict
    suboptions:
      kind:
        description:
          - V(database) is two tables in the schema C(oncall), made when first needed, for the login role alone.
          - V(file) is a file on the target with mode 0600, for a database that must not get tables.
        type: str
        choices: [database, file]
        default: database
      path:
        description: Folder of the file C(tokens-<run>.jsonl).
        type: path
        default: ""
  batch:
    description: Most rows of one transaction.
    type: int
    default: 2000
  max_wait_ms:
    description: Milliseconds that another client may have to wait for one transaction. The server ends it then.
    type: int
    default: 50
  max_passes:
    description: Passes after which it fails, with the number of tokens left.
    type: int
    default: 25
  timeout:
    description: Seconds that one look at a table may take.
    type: float
    default: 300
"""

EXAMPLES = r"""
- name: Revoke every token of Roost after a breach
  oncall.runbooks.token_revoke:
    database: roost_prod
    tables:
      - {table: public.api_tokens, key: [id], reason: revoked_reason, created_at: created_at, subscriber: subscriber_id}
      - {table: public.owl_sessions, key: [id], subscriber: subscriber_id, session: id, optional: true}
    exclude:
      subscribers: [break-glass@example.org]
      reason: the responders' own account
    login_user: roost
    login_password: "{{ postgres_login_password }}"
  register: tokens_revoked

- name: Take exactly that back
  oncall.runbooks.token_revoke:
    state: restored
    run: "{{ tokens_revoked.run }}"
    database: roost_prod
    login_user: roost
    login_password: "{{ postgres_login_password }}"
"""

RETURN = r"""
run:
  description: Names the revocation, for its undo.
  returned: always
  type: str
  sample: 20261121t064300z-7f3a9c
scope:
  description: What was asked for, the subscriber as an id.
  returned: when revoking
  type: dict
reason:
  description: What was stored with each token.
  returned: when revoking
  type: str
tables:
  description: Numbers of each table. In check mode, of what would be done.
  returned: always
  type: list
  elements: dict
  sample:
    - {table: public.api_tokens, total: 1000000, active_before: 800000, in_scope_before: 799998, excluded: 2,
       revoked_before: 200000, revoked: 800114, in_scope_after: 0}
left_out:
  description: Tables that were left out, with the reason.
  returned: when revoking
  type: dict
epoch:
  description: The epoch before and after, and whether it was changed. Null when there is none.
  returned: always
  type: dict
findings:
  description: One finding V(tokens_active) for each table.
  returned: always
  type: list
  elements: dict
prediction:
  description: What changes.
  returned: always
  type: dict
passes:
  description: Passes over all tables, the one that found nothing included.
  returned: when revoking
  type: int
transactions:
  description: Transactions that changed tokens.
  returned: always
  type: int
retries:
  description: Transactions that were rolled back because others were in the way.
  returned: always
  type: int
longest_transaction_ms:
  description: The longest of our own transactions, which is the longest that anybody waited for one.
  returned: always
  type: float
ledger:
  description: Where the keys are, how many, and a checksum over all of them.
  returned: when revoking
  type: dict
evidence:
  description: The manifest of what was revoked, with a checksum.
  returned: always
  type: list
  elements: dict
undo:
  description: How exactly this is taken back.
  returned: when changed
  type: dict
duration_s:
  description: Seconds of the whole work.
  returned: always
  type: float
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.revoke import work_tokens

_TEXT = {"type": "str", "default": ""}
_TEXTS = {"type": "list", "elements": "str", "default": []}
_NAME = {"type": "str", "required": True}


def _parts() -> Dict[str, Any]:
    """Return the options that consist of others."""
    table = {
        "table": _NAME,
        # Names of columns are no secrets.
        "key": {"type": "list", "elements": "str", "required": True, "no_log": False},
        "revoked_at": {"type": "str", "default": "revoked_at"},
        "reason": _TEXT,
        "created_at": _TEXT,
        "subscriber": _TEXT,
        "session": _TEXT,
        "optional": {"type": "bool", "default": False},
    }
    directory = {"table": _NAME, "key": {"type": "str", "default": "id", "no_log": False}, "email": _TEXT}
    exclude = {"subscribers": _TEXTS, "session_ids": _TEXTS, "reason": _TEXT}
    epoch = {"table": _TEXT, "column": _TEXT, "where": {"type": "dict", "default": {}}, "subscriber": _TEXT}
    kinds = {"type": "str", "choices": ["database", "file"], "default": "database"}
    ledger = {"kind": kinds, "path": {"type": "path", "default": ""}}
    return {
        "tables": {"type": "list", "elements": "dict", "default": [], "options": table},
        "subscribers": {"type": "dict", "options": directory},
        "exclude": {"type": "dict", "options": exclude},
        "epoch": {"type": "dict", "options": epoch},
        "ledger": {"type": "dict", "options": ledger},
    }


def main() -> None:
    """Validate the options, revoke or restore, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        database=_NAME,
        state={"type": "str", "choices": ["revoked", "restored"], "default": "revoked"},
        run=_TEXT,
        scope={
            "type": "str",
            "choices": ["all", "subscriber", "issued_before", "session_ids"],
            "default": "all",
        },
        subscriber=_TEXT,
        issued_before=_TEXT,
        session_ids=_TEXTS,
        reason=_TEXT,
        batch={"type": "int", "default": 2000},
        max_wait_ms={"type": "int", "default": 50},
        max_passes={"type": "int", "default": 25, "no_log": False},
        timeout={"type": "float", "default": 300.0},
        **_parts(),
    )
    run_module(spec, work_tokens)


if __name__ == "__main__":
    main()
