"""billing-webhook-missed of every system: whoever pays while it is rehearsed is no difference."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.cases.base import Case


class BillingCase(Case):
    """A picture by names, in which whoever pays later is one name more."""

    runbook = "billing-webhook-missed"
    parts = frozenset({"database", "services", "stripe"})
    default = "webhook-lost"

    def differences(self, before: Any, after: Any, *, undone: bool = False) -> list[str]:
        """Compare what was there before; whoever paid since does not count."""
        return super().differences(before, {name: after.get(name) for name in before}, undone=undone)
