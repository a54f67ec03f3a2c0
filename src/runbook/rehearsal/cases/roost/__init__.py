"""How each runbook of Roost is rehearsed."""
