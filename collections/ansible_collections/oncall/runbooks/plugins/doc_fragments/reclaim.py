# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that say what may go when a disk is full."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """What may go, and how much has to be free."""

    DOCUMENTATION = r"""
options:
  path:
    description: Path on the file system that has to get space.
    type: path
    required: true
  goal_percent:
    description: Free space in percent at which it stops.
    type: float
    default: 20
  candidates:
    description:
      - What may go, in order.
      - Each names O(candidates[].paths), O(candidates[].images) or O(candidates[].build_cache).
    type: list
    elements: dict
    required: true
    suboptions:
      paths:
        description: Globs of absolute paths.
        type: list
        elements: str
        default: []
      images:
        description:
          - Container images that nothing needs, one by one, the oldest first.
          - What a container uses stays, also a stopped one, and what O(candidates[].images.keep) names.
          - The newest O(candidates[].images.keep_releases) of each repository stay, and what they build on.
        type: dict
        suboptions:
          engine:
            description: Program of the container engine.
            type: str
            default: docker
          keep_releases:
            description: So many of each repository stay, for a rollback.
            type: int
            default: 2
          keep:
            description: Regular expressions of names, digests or ids that stay.
            type: list
            elements: str
            default: []
      build_cache:
        description: What the engine's build cache has not used for O(candidates[].older_than_hours).
        type: dict
        suboptions:
          engine:
            description: Program of the container engine.
            type: str
            default: docker
      older_than_hours:
        description: Only files that have not changed, images that came here, or cache not used for so long.
        type: float
        default: 24
      action:
        description:
          - Remove the file, or empty it after its end was kept.
          - Emptying is for a file that a process keeps open.
          - The log of a container that does not run is never emptied. It may say why the container has ended.
        type: str
        choices: [remove, truncate]
        default: remove
      keep_newest:
        description: So many of what this candidate names stay, the newest.
        type: int
        default: 0
      offsite:
        description: Only files that O(offsite) proves to be somewhere else, too. Others stay and are told.
        type: bool
        default: false
  protected:
    description: Folders in which nothing is ever touched.
    type: list
    elements: path
    default: []
  offsite:
    description:
      - What is kept somewhere else, each with C(key), C(size) and C(etag), as a candidate of
        M(oncall.runbooks.backup_health) has them.
      - A file is proved by its name, its size and the MD5 of its content, or of its parts.
    type: list
    elements: dict
    default: []
"""
