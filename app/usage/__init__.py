"""The use and life of flags: what was served, what was asked for in vain, what has grown stale."""
