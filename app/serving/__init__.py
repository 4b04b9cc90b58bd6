"""Compiled snapshots, and every hot route before the framework (docs/adr/0013)."""
