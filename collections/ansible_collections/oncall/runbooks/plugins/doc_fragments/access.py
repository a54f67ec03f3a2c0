# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of everything that asks the administration of an application."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """Where the administration is, and the login of an administrator."""

    DOCUMENTATION = r"""
options:
  url:
    description: Address of the application, without a trailing slash.
    type: str
    required: true
  user:
    description: Name of an administrator, for HTTP basic authentication.
    type: str
    required: true
  password:
    description: Its password. It stays on the controller, and is sent in a header only.
    type: str
    required: true
  paths:
    description: The calls of the application. An empty one is not there; then what it tells is not known.
    type: dict
    required: true
    suboptions:
      status:
        description:
          - GET that answers C(read_only), and in C(open) the tokens that are good.
          - Each of these has C(id), C(asked_by), C(reason) and C(expires_at).
        type: str
        default: ""
      start:
        description: POST of C(reason) and C(ttl_minutes) that answers C(token), C(id) and C(expires_at).
        type: str
        required: true
      check:
        description: GET that takes a token that is good, and refuses one that is void.
        type: str
        default: ""
      revoke:
        description: POST that makes the token of the header void, or that with the C(id) in its body.
        type: str
        default: ""
  token_header:
    description: Header that carries the token.
    type: str
    default: X-Break-Glass-Token
  timeout:
    description: Seconds that one request may take.
    type: float
    default: 10
"""

    # The writes that are allowed, and which of them is meant.
    CALLS = r"""
options:
  calls:
    description: The writes that are allowed. C({id}) in a path is the object.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What O(call) names.
        type: str
        required: true
      method:
        description: Method of the write.
        type: str
        choices: [POST, PUT, PATCH, DELETE]
        default: POST
      path:
        description: Path of the write.
        type: str
        required: true
      body:
        description: What is sent, as JSON.
        type: dict
        default: {}
      look:
        description: Path of the object, for a GET before and after.
        type: str
        required: true
      wanted:
        description: Fields that the object has after the write. An undo goes by their values before it.
        type: dict
        required: true
      undo:
        description: The write that takes it back (C(method), C(path), C(body)). Without it nothing does.
        type: dict
  call:
    description: Which of O(calls) is meant.
    type: str
    default: ""
  objects:
    description: Ids of the objects; letters, digits, C(-) and C(_) only.
    type: list
    elements: str
    default: []
"""
