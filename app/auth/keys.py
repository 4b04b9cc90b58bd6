"""The text of API keys: `cs_<prefix>_<secret>`, known to us only by its digest."""

import hashlib
import hmac
import secrets

from app.core.settings import get_settings

MARK = "cs_"


def new_key() -> tuple[str, str]:
    """Return a new key's text and the prefix by which people tell it from others."""
    prefix = MARK + secrets.token_hex(4)
    return f"{prefix}_{secrets.token_urlsafe(32)}", prefix


def digest(text: str) -> str:
    """Return the SHA-256 digest under which a key is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_key(text: str) -> bool:
    """Say whether a bearer's text is meant as an API key, not as a token."""
    return text.startswith(MARK) or is_bootstrap(digest(text))


def is_bootstrap(of: str) -> bool:
    """Say whether a digest is that of the setting API_KEY."""
    known = get_settings().api_key
    return known is not None and hmac.compare_digest(digest(known.get_secret_value()), of)
