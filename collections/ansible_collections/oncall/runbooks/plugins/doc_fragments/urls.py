# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the option that lists URLs to ask from outside, shared by the modules that take it."""

from __future__ import annotations

__metaclass__ = type

from textwrap import indent

from ansible_collections.oncall.runbooks.plugins.doc_fragments.service import ModuleDocFragment as Services


class ModuleDocFragment:
    """The option `outside`."""

    # Annotated for the reason that `service` gives.
    DOCUMENTATION: str = r"""
options:
  outside:
    description: URLs that the controller asks, as a user of the system would. Redirects are not followed.
    type: list
    elements: dict
    default: []
    suboptions:
      check:
        description: Name of the finding.
        type: str
        required: true
      part:
        description: What it is about; the finding carries it.
        type: str
        required: true
      url:
        description: URL that is asked.
        type: str
        required: true
      method:
        description: A method that changes nothing.
        type: str
        default: GET
        choices: [GET, HEAD]
      headers:
        description: Headers that are sent. They are never shown.
        type: dict
        default: {}
      served_by:
        description: Header of the answer that tells which origin served it; its value is told.
        type: str
        default: ""
      denied_check:
        description: Name of another finding that fails instead when the answer is 401 or 403.
        type: str
        default: ""
      denied_hint:
        description: What to do then; it is said in that finding.
        type: str
        default: ""
      login:
        description: Log in first, and ask the URL with the token that comes back.
        type: dict
        suboptions:
          url:
            description: URL that takes the login as a JSON POST.
            type: str
            required: true
          body:
            description: What is posted. It is never shown.
            type: dict
            required: true
          token:
            description: Key of the token in the answer.
            type: str
            default: token
      unconfigured:
        description: When not empty, nothing is asked, and the finding is V(unknown) with this reason.
        type: str
        default: ""
""" + indent(Services.ANSWER, " " * 6)
