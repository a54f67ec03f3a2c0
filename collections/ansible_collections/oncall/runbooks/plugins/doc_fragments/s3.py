# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that every module which looks for a backup in an S3 bucket shares."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """Where the backups are, who may read them, and which of them count."""

    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - URL of the S3 API, for example C(https://<account>.r2.cloudflarestorage.com).
      - Empty means the endpoint of Amazon S3 in O(region).
    type: str
    default: ""
  bucket:
    description: Bucket that holds the backups.
    type: str
    required: true
  prefix:
    description: Only objects whose key begins with this are looked at, for example V(postgres/).
    type: str
    default: ""
  pattern:
    description:
      - Regular expression that the whole name of a backup matches.
      - The name is the key without the folder that O(prefix) names.
      - Its named group C(timestamp) holds the time of the backup.
      - A backup in directory format is matched by the name of its folder.
    type: str
    required: true
  timestamp_format:
    description:
      - How to read the group C(timestamp), in the notation of Python's C(strptime).
      - Read as UTC unless it contains C(%z).
    type: str
    default: "%Y%m%dT%H%M%SZ"
  region:
    description: Region to sign requests for. V(auto) is right for Cloudflare R2.
    type: str
    default: auto
  access_key:
    description:
      - Access key id. Never shown or logged, and never leaves the controller.
      - Without it the environment, the O(profile) or the instance role is used, as boto3 does.
    type: str
    default: ""
  secret_key:
    description: Secret of O(access_key). Never shown or logged, and never leaves the controller.
    type: str
    default: ""
  session_token:
    description: Session token of temporary credentials. Never shown, logged or sent to a target.
    type: str
    default: ""
  profile:
    description: Profile of the controller's AWS configuration to take credentials from.
    type: str
    default: ""
  before:
    description:
      - Take the newest good backup whose time is at or before this, in ISO 8601; UTC when no offset is given.
      - Give the time just before the damage was done.
    type: str
    default: ""
  min_size:
    description: A backup smaller than this, in bytes, is rejected.
    type: int
    default: 0
  max_age_hours:
    description: A backup older than this, in hours, is reported as too old.
    type: float
    default: 26
requirements:
  - boto3 (on the controller only)
"""
