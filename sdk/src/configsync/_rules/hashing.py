"""Buckets, and ids that are told as hashes."""

import hashlib

import mmh3

BUCKETS = 100_000
BETWEEN = "\x1f"
HASH_VERSIONS = frozenset({1})
DIGEST = 16  # bytes that are left of a SHA-256


def bucket_of(salt: str, unit: str) -> int:
    """Return the bucket, 0 to 99,999, of a unit under a flag's salt."""
    # Bytes: given half a character within a text, mmh3 5.3 ends the process.
    return (mmh3.mmh3_32_uintdigest(f"{salt}{BETWEEN}{unit}".encode()) * BUCKETS) >> 32


def told(salt: str, text: str) -> str:
    """Return what is told of an id: the first 16 bytes of SHA-256, in hexadecimal."""
    data = f"{salt}{BETWEEN}{text}".encode(errors="surrogatepass")
    return hashlib.sha256(data).hexdigest()[: 2 * DIGEST]
