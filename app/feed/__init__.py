"""What was committed, per workspace and in order: one feed a process (ADR 13)."""
