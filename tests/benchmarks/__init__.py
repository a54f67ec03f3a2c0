"""Paired measurements: ratios on one machine, never absolute times as a test."""
