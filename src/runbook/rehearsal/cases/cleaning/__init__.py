"""How each runbook of the cleaning platform is rehearsed."""
