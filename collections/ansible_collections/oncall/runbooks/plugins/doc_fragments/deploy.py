# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that every module about deployments shares."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """The checkout, its script, what runs, its migrations; mirrors `deploy.options.DEPLOY_SPEC`."""

    DOCUMENTATION = r"""
options:
  path:
    description: The git checkout on the target that is deployed from.
    type: path
    required: true
  script:
    description:
      - The project's own deploy script with its arguments, run in O(path) as the owner of the checkout.
      - A relative path is a file of the commit that is deployed.
    type: list
    elements: str
    default: [./ops/deploy.sh]
  ledger:
    description:
      - File on the target with one line of JSON for each deployment. A commit that was seen to serve is
        preferred when a rollback needs a target. Empty means none.
    type: path
    default: /var/lib/oncall-runbooks/deployments.jsonl
  private_dir:
    description: Folder on the target for patches, logs and receipts of runs, which only its owner can read.
    type: path
    default: /var/lib/oncall-runbooks
  running:
    description: What tells which commit really runs. HEAD of the checkout is no proof of that.
    type: dict
    suboptions:
      kind:
        description: An answer of the service, the label of a container's image, a file, or nothing.
        type: str
        choices: [none, url, label, file]
        default: none
      url:
        description: Address that answers JSON, kind V(url). Its status does not matter.
        type: str
        default: ""
      field:
        description: Key of the answer that holds the id; dots lead inwards.
        type: str
        default: version
      container:
        description: Name of the container, kind V(label).
        type: str
        default: ""
      label:
        description: Label that holds the id, kind V(label).
        type: str
        default: org.opencontainers.image.revision
      engine:
        description: Program of the container engine, kind V(label).
        type: str
        default: docker
      path:
        description: File that begins with the id, kind V(file).
        type: path
        default: ""
      timeout:
        description: Seconds for the question.
        type: float
        default: 3
  migrations:
    description: The project's migrations. Without it there are none, and no commit is too old for the schema.
    type: dict
    suboptions:
      path:
        description: Folder of the repository that holds them.
        type: str
        required: true
      pattern:
        description:
          - Regular expression for the path of a migration below O(migrations.path), with a group C(version)
            that is what the database's table holds. Files that do not match are none.
        type: str
        default: (?!.*\.down\.)(?P<version>\d+)[^/]*\.(?:sql|py|rb|js|ts)
      revision:
        description:
          - Regular expression with one group, for migrations that say in their text how they are called, as
            those of Alembic do. Then O(migrations.pattern) needs no group.
        type: str
        default: ""
      parent:
        description: The same for what a migration follows; every group of every match is one.
        type: str
        default: ""
      table:
        description: Table with those that were applied.
        type: str
        default: public.schema_migrations
      column:
        description: Its column.
        type: str
        default: version
      applied:
        description: Whether the table has all that were applied, or only the last of each line.
        type: str
        choices: [all, heads]
        default: all
      compatible:
        description:
          - Regular expression for a mark in the text of a migration that says that older code runs with it.
            Empty means that no code may be older than the schema.
        type: str
        default: ""
      destructive:
        description: Regular expression for words in a migration that can lose data.
        type: str
        default: >-
          (?i)\bDROP\b|\bTRUNCATE\b|\bDELETE\s+FROM\b|\bRENAME\b|\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b
  database:
    description: The database that the migrations are applied to.
    type: str
    default: ""
  timeout:
    description: Seconds for one question to the database.
    type: float
    default: 5
requirements:
  - git >= 2.22
"""
