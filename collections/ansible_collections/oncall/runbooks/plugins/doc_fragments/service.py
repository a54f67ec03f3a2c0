# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that describe services, what runs them and how they answer, shared by modules."""

from __future__ import annotations

__metaclass__ = type

from textwrap import indent


class ModuleDocFragment:
    """The options `services`, `runtime` with `log_path`, and `health`.

    What is put together from parts is annotated: the YAML check of ansible-test reads every other value of
    the class, and can read literals only.
    """

    # What a good answer of a URL is; also part of the option `outside`.
    ANSWER = r"""
status:
  description: Statuses that are right.
  type: list
  elements: int
  default: [200]
json:
  description: What has to be part of the body.
  type: dict
contains:
  description: Text that has to be in the body.
  type: str
  default: ""
timeout:
  description: Seconds for the whole answer.
  type: float
  default: 3
"""

    # The folder of C(pg_ctl) is documented by each option on its own.
    _RUNTIME = r"""
kind:
  description: Container engine, compose, init system, supervisord, or none (a PostgreSQL server).
  type: str
  required: true
  choices: [docker, compose, systemd, supervisor, process]
name:
  description: Exact name of the container, unit or program.
  type: str
data_dir:
  description: Data directory of a PostgreSQL server of kind V(process).
  type: path
engine:
  description: Program of the container engine.
  type: str
  default: docker
service:
  description: Name in the compose file, kind V(compose).
  type: str
project_dir:
  description: Folder of the compose project.
  type: path
file:
  description: The compose file, in O(runtime.project_dir).
  type: str
  default: docker-compose.yml
env_file:
  description: File of its settings, in O(runtime.project_dir).
  type: str
config:
  description: Configuration file of supervisord, kind V(supervisor).
  type: path
"""

    _URL = r"""
url:
  description: URL that is asked. Redirects are not followed.
  type: str
  required: true
"""

    _SERVICES = r"""
options:
  services:
    description: The services, in the order in which they may be started.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the system calls it.
        type: str
        required: true
      part:
        description: What it is for, such as V(stream), V(auth), V(edge) or V(worker); findings carry it.
        type: str
        required: true
      connections:
        description: For a tunnel, where its health answer says how many connections to the edge it holds.
        type: dict
        suboptions:
          field:
            description: Key in the body.
            type: str
            default: readyConnections
          warn_below:
            description: Fewer than this is a warning, none is a failure.
            type: int
            default: 2
      log:
        description: How its log is read.
        type: dict
        default: {}
        suboptions:
          patterns:
            description: Regular expressions of this system and the class of each, before the built-in ones.
            type: dict
            default: {}
          window_minutes:
            description: How far back. 0 means that it is not read.
            type: float
            default: 15
          answers:
            description:
              - How an answer looks in it. When given, the share of errors of the server (5xx) is measured.
            type: dict
            suboptions:
              pattern:
                description: Regular expression with a group called C(status).
                type: str
                required: true
              max_percent:
                description: More errors than this share is a failure.
                type: float
                default: 5
              at_least:
                description: With fewer answers than this nothing fails.
                type: int
                default: 20
      ready:
        description:
          - Its own readiness address, as the host sees it, for a service that says there what it stands on.
            It is ready only when the status is right and every field is there and V(true).
        type: dict
        suboptions:
          url:
            description: URL that is asked. Redirects are not followed.
            type: str
            required: true
          status:
            description: Statuses that are right. The body is read whatever the status is.
            type: list
            elements: int
            default: [200]
          timeout:
            description: Seconds for the whole answer.
            type: float
            default: 3
          database:
            description:
              - Key in the body that says whether its database is connected. Empty means that none does.
            type: str
            default: db_connected
          migrations:
            description:
              - Key in the body that says whether the migrations are current. Empty means that none does.
            type: str
            default: migrations_current
          others:
            description: Other keys in the body that have to be V(true).
            type: list
            elements: str
            default: []
          hints:
            description: What to do when a key is V(false), by key; it is said in the finding.
            type: dict
            default: {}
      settings:
        description: Settings that it needs. Only presence and length are ever told.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the variable.
            type: str
            required: true
          min_length:
            description: Characters it has at least.
            type: int
            default: 1
          number:
            description: The number it has to be. Only such a setting's number is told.
            type: int
          value:
            description: What it has to be, where another place knows that. It is never shown.
            type: str
      usage:
        description: Its limits, where its platform does not tell them.
        type: dict
        suboptions:
          memory_limit:
            description: Bytes of memory that it may have. V(0) means what its platform says.
            type: int
            default: 0
          memory_limit_setting:
            description: Setting that it runs with whose number is that limit.
            type: str
            default: ""
          processors:
            description: Processors that it may use. V(0) means what its platform says, else all of the host.
            type: float
            default: 0
      precheck:
        description: Command that has to succeed before a restart, such as a check of its configuration.
        type: list
        elements: str
        default: []
      hint:
        description: What to do when it fails; it is said in the finding.
        type: str
        default: ""
"""

    DOCUMENTATION: str = (
        _SERVICES
        + r"""
      health:
        description: Its own health address, as the host sees it.
        type: dict
        suboptions:
"""
        + indent(_URL + ANSWER, " " * 10)
        + r"""
      runtime:
        description: What runs it.
        type: dict
        required: true
        suboptions:
          bin_dir:
            description: Folder of C(pg_ctl), kind V(process). Default is the running server's own.
            type: path
"""
        + indent(_RUNTIME.replace("O(runtime.", "O(services[].runtime."), " " * 10)
    )

    # What runs the one service of a module.
    PLATFORM: str = r"""
options:
  runtime:
    description: What runs the service.
    type: dict
    suboptions:
      bin_dir:
        description: Folder of C(pg_ctl). Default is the running server's own.
        type: path
""" + indent(_RUNTIME, " " * 6)

    # The same for a service that may be a PostgreSQL server of kind C(process).
    RUNTIME: str = (
        PLATFORM
        + r"""
  log_path:
    description: Log file of a server of kind V(process). Default is the file its standard error goes to.
    type: path
    default: ""
"""
    )

    # How the one service of a module answers.
    HEALTH: str = r"""
options:
  health:
    description: The service's own health address. When given, it is well only when this answers as it should.
    type: dict
    suboptions:
""" + indent(_URL + ANSWER, " " * 6)
