"""The stand-in of a system: real servers on loopback, faults, and the driver that rehearses a runbook."""
