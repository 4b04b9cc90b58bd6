"""ConfigSync: configuration, secrets, flags and services, versioned and pushed live."""

__version__ = "0.1.0"
