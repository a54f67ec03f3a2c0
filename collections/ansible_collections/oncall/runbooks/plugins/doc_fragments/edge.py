# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that every module which directs traffic shares."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """Which provider directs the traffic, and how it is reached."""

    DOCUMENTATION = r"""
options:
  provider:
    description: What directs the traffic. The option of the same name says how it is reached.
    type: str
    required: true
    choices: [admin_api, cloudflare_lb, elbv2]
  primary:
    description: Name of the origin that gets the traffic on a normal day.
    type: str
    default: ""
  admin_api:
    description:
      - A system's own admin API.
      - C(GET health_path) answers C({"active", "origins"}), each origin with C(name) and C(healthy).
      - C(POST failover_path) takes C({"target"}).
    type: dict
    suboptions:
      url:
        description: Address without the path.
        type: str
        required: true
      fallback_urls:
        description:
          - Other addresses of the same API, tried in order when the first does not answer.
          - Give one that does not go through the CDN itself, for example a forwarded port of the host.
        type: list
        elements: str
        default: []
      token:
        description: Bearer token. Never shown or logged, and never leaves the controller.
        type: str
      health_path:
        description: Path of the health.
        type: str
        default: /admin/cdn/health
      failover_path:
        description: Path of the failover.
        type: str
        default: /admin/cdn/failover
  cloudflare_lb:
    description: A load balancer of Cloudflare. Its origins are pools, by name.
    type: dict
    suboptions:
      url:
        description: Address of the API. Empty means Cloudflare's own.
        type: str
        default: ""
      token:
        description: API token with Load Balancing Edit. Never shown or logged.
        type: str
      account_id:
        description: Account that owns the pools.
        type: str
      zone_id:
        description: Zone of the load balancer.
        type: str
      load_balancer:
        description: Host name or id of the load balancer.
        type: str
      pools:
        description:
          - Names of more pools that may take its traffic.
          - Those that the load balancer itself names, O(primary) and the target are known without.
        type: list
        elements: str
        default: []
  elbv2:
    description: A target group of AWS. Its origins are the named sets of O(elbv2.targets).
    type: dict
    suboptions:
      target_group:
        description: Name or ARN of the target group.
        type: str
      targets:
        description: For each origin the list of its targets, each as C(ID:PORT).
        type: dict
      healthy_within:
        description: Seconds in which a newly registered target has to become healthy.
        type: float
        default: 120
      drained_within:
        description: Seconds in which the old targets have to be drained (the group's own delay is 300).
        type: float
        default: 360
      endpoint_url:
        description: Address of the API. Empty means AWS in O(elbv2.region).
        type: str
        default: ""
      region:
        description: Region of the target group.
        type: str
        default: ""
      access_key:
        description: Access key id. Without it the environment, the profile or the instance role is used.
        type: str
        default: ""
      secret_key:
        description: Secret of the access key. Never shown or logged.
        type: str
        default: ""
      session_token:
        description: Session token of temporary credentials. Never shown or logged.
        type: str
        default: ""
      profile:
        description: Profile of the controller's AWS configuration.
        type: str
        default: ""
  probe:
    description: How a user outside sees which origin answers.
    type: dict
    suboptions:
      url:
        description: Public address that is asked.
        type: str
        required: true
      times:
        description: So many good answers in a row are a proof.
        type: int
        default: 5
      interval:
        description: Seconds between two requests.
        type: float
        default: 1
      within:
        description: Seconds after which there has to be a proof.
        type: float
        default: 60
      timeout:
        description: Seconds for one answer.
        type: float
        default: 5
      status:
        description: Status codes of a good answer.
        type: list
        elements: int
        default: [200]
      served_by_header:
        description: Header of the answer that names the origin. Empty means that it cannot be told.
        type: str
        default: ""
      served_by:
        description:
          - What that header says for an origin, by the origin's name, as a regular expression.
          - Default is the name itself.
        type: dict
        default: {}
      headers:
        description: Headers that are sent. Never shown or logged.
        type: dict
        default: {}
  timeout:
    description: Seconds for one request to the provider.
    type: float
    default: 10
  attempts:
    description: So often a request that may be repeated is sent at most.
    type: int
    default: 3
requirements:
  - boto3 (on the controller, for O(provider=elbv2) only)
"""
