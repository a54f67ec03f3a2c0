# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that every module which works on background jobs shares."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """Where an application keeps its jobs; mirrors `module_utils.jobs.tables.argument_spec`."""

    DOCUMENTATION = r"""
options:
  database:
    description: Database of the application.
    type: str
    required: true
  heartbeats:
    description: Table with one row for each job. Empty means that the application has none.
    type: dict
    suboptions:
      table: &table
        description: Its name, as C(schema.table).
        type: str
        required: true
      job:
        description: Column with the job's name.
        type: str
        default: job
      beat_at:
        description: Column with the time at which it last ran to its end.
        type: str
        default: beat_at
      interval:
        description: Column with the seconds between two runs.
        type: str
        default: interval_s
  queue:
    description: Table of messages that wait for a worker. Empty means that the application has none.
    type: dict
    suboptions:
      table: *table
      kind:
        description: Column that says what kind of job it is.
        type: str
        default: kind
      payload:
        description: Column with the message, as JSON.
        type: str
        default: payload
      key:
        description: Column with the idempotency key; a unique index keeps a message from being queued twice.
        type: str
        default: idempotency_key
      enqueued_at:
        description: Column with the time since which it waits.
        type: str
        default: enqueued_at
      taken_at:
        description: Column with the time at which a worker began it; NULL while it waits.
        type: str
        default: taken_at
      done_at:
        description: Column with the time at which it was done; NULL until then.
        type: str
        default: done_at
  dead_letters:
    description: Table of messages that failed for good. Empty means that the application has none.
    type: dict
    suboptions:
      table: *table
      id:
        description: Column with the key of the row.
        type: str
        default: id
      kind:
        description: Column that says what kind of job it was.
        type: str
        default: kind
      payload:
        description: Column with the message, as JSON.
        type: str
        default: payload
      key:
        description: Column with the idempotency key.
        type: str
        default: idempotency_key
      error:
        description: Column with what went wrong.
        type: str
        default: error
      failed_at:
        description: Column with the time at which it failed.
        type: str
        default: failed_at
      expires_at:
        description: Column with the time after which the message is of no use. Empty means that none ever is.
        type: str
        default: expires_at
      replayed_at:
        description: Column with the time at which it was queued again; NULL until then.
        type: str
        default: replayed_at
  lock:
    description: Table with the scheduler's lock. Empty means that the application has none.
    type: dict
    suboptions:
      table: *table
      lock:
        description: Column with the lock's name.
        type: str
        default: name
      owner:
        description: Column with the owner, the C(application_name) of its session; NULL while it is free.
        type: str
        default: owner
      beat_at:
        description: Column with the time at which the owner last said that it lives.
        type: str
        default: beat_at
  timeout:
    description: Seconds each statement may take.
    type: float
    default: 10
"""
