# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the billing actions share: Stripe is asked on the controller, the database on the target."""

from __future__ import annotations

__metaclass__ = type

import getpass
import os
import socket
from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import masked
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.stripe import Stripe
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_payments import (
    Seen,
    of_subscriber,
    sweep,
)

Row = Dict[str, Any]
_LOOK = "oncall.runbooks.billing_reconcile"
# What the target needs; everything else, the key of Stripe above all, stays on the controller.
_TO_TARGET = frozenset(
    ["database", "subscribers", "subscriptions", "events", "maintenance_db", "ssl_mode", "ca_cert"]
    + ["login_" + name for name in ("host", "port", "user", "password", "unix_socket")]
)


class BillingAction(ControllerAction):
    """An action on billing; `stripe` is the account, chosen by the options of the doc fragment `stripe`."""

    SECRETS = frozenset({"api_key", "login_password"})

    def stripe(self, options: Mapping[str, Any]) -> Stripe:
        """Return the account; refuses a key of the other mode, whose data would say that nobody paid."""
        if options.get("stripe") is not None:
            raise UsageError("use the option stripe", next_step="leave it out: the plugin fills it in")
        made = Stripe.from_options(options)
        if made.mode != options["mode"]:
            raise UsageError(
                "use the key of Stripe",
                got="api_key is of %s mode, but mode is %s" % (made.mode, options["mode"]),
                next_step="set api_key to a key of %s mode" % options["mode"],
            )
        return made

    def people(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> List[Row]:
        """Return the subscribers who were named by address or id."""
        asked = {"email": options["email"], "subscriber_id": options["subscriber_id"]}
        found: List[Row] = self.on_target(_LOOK, options, task_vars, stripe=asked)["people"]
        return found

    def one(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Row:
        """Return the one subscriber who was named; raises an OncallError of kind `unknown` or `ambiguous`."""
        people = self.people(options, task_vars)
        if len(people) == 1:
            return people[0]
        who = repr(options["subscriber_id"] or options["email"])
        if not people:
            got, step, kind = (
                "nobody has it",
                "ask which address the account has, or give subscriber_id",
                "unknown",
            )
        else:
            ids = ", ".join("%s (%s)" % (p["id"], p["status"]) for p in people)
            got, step, kind = "%d have it: ids %s" % (len(people), ids), "give subscriber_id", "ambiguous"
        raise OncallError(
            "find the subscriber", on=who, got=got, next_step=step + " (nothing was changed)", kind=kind
        )

    def paid(self, stripe: Stripe, options: Mapping[str, Any], person: Any) -> Seen:
        """Return what was paid by one subscriber, or in the whole window when nobody was named."""
        grace, mode = options["grace"], options["subscriptions"]["mode"]
        if person is None:
            return sweep(stripe, options["window_hours"], grace, mode)
        return of_subscriber(stripe, [person], options["email"], grace, mode)

    def compare(
        self, seen: Seen, options: Mapping[str, Any], task_vars: Mapping[str, Any], *, wait: float = 0.0
    ) -> Dict[str, Any]:
        """Return `judged` (payments with verdicts) and `ended` (rows still served) from the target."""
        asked = {"payments": seen.payments, "ended": seen.ended, "wait": wait}
        return self.on_target(_LOOK, options, task_vars, stripe=asked)

    def on_target(
        self, module: str, options: Mapping[str, Any], task_vars: Mapping[str, Any], **more: Any
    ) -> Dict[str, Any]:
        """Run a module on the target and return its result; its failure is raised as it was told."""
        arguments = {name: options[name] for name in _TO_TARGET if options.get(name) is not None}
        result: Dict[str, Any] = self._execute_module(
            module_name=module, module_args={**arguments, **more}, task_vars=dict(task_vars)
        )
        result.pop("invocation", None)
        if result.get("failed"):
            raise _told(result)
        return result


def _told(result: Mapping[str, Any]) -> OncallError:
    """Return the error of a module again, not wrapped in another one."""
    said = result.get("error")
    if not isinstance(said, dict):
        got = str(result.get("msg") or result.get("module_stderr") or "no reason")
        return OncallError("run the module on the target", got=got, next_step="see the output above")
    error = OncallError(
        said["tried"], on=said["object"], got=said["got"], next_step=said["next_step"], kind=said["kind"]
    )
    error.changed = bool(result.get("changed"))
    return error


def require_paid(seen: Seen, person: Mapping[str, Any]) -> None:
    """Refuse whoever has paid nothing: a ticket is no payment."""
    if seen.payments:
        return
    said = "; ".join("%s: %s" % (o["session"], o["reason"]) for o in seen.others[:5]) or "no checkout at all"
    raise OncallError(
        "activate the subscriber",
        on="%s, id %s" % (masked(person["email"]), person["id"]),
        got="Stripe shows no completed payment of theirs (%s)" % said,
        next_step="look at the customer in Stripe's dashboard; nothing was changed",
        kind="not_paid",
    )


def about() -> Dict[str, str]:
    """Who does this, for the audit table."""
    return {
        "by": "%s@%s" % (getpass.getuser(), socket.gethostname()),
        "run": os.environ.get("ONCALL_RUN_ID", ""),
    }
