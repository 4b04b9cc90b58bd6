"""Rotation by somebody else's program: each step is a signed call (Standard Webhooks)."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator, SecretStr
from standardwebhooks import Webhook

from app.core import egress
from app.formats import json as strict_json
from app.rotators.kinds.base import (
    Job,
    KindSettings,
    RotationFailed,
    random_text,
    read_settings,
    settings_of,
)

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
LENGTH = 32
TIMEOUT = 10.0


def signing_key(secret: SecretStr) -> SecretStr:
    """Refuse what is no signing secret of Standard Webhooks."""
    try:
        text = secret.get_secret_value().removeprefix(PREFIX)
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in KEY_BYTES:
        raise ValueError("must be whsec_ and then 24 to 64 random bytes in base64")
    return secret


class WebhookSettings(KindSettings):
    """Whom to call, and the key that signs the calls."""

    url: str
    signing_secret: Annotated[SecretStr, AfterValidator(signing_key)]


class WebhookKind:
    """Tell a receiver about each step; it does the work and answers 2xx when it is done."""

    model = WebhookSettings

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError or EgressRefused for settings that cannot work."""
        egress.check_url(read_settings(WebhookSettings, settings).url)

    def create(self, job: Job) -> Any:
        """Return the value that the receiver answers with, or else a random text."""
        try:
            answered = strict_json.loads(_call(job, "create").body)
        except strict_json.JsonError:
            answered = None
        value = answered.get("value") if isinstance(answered, dict) else None
        return random_text(LENGTH) if value is None else value

    def set(self, job: Job) -> None:
        """Send the pending value, to be accepted from now on."""
        _call(job, "set", pending=job.pending)

    def test(self, job: Job) -> None:
        """Send the pending value, to be tried."""
        _call(job, "test", pending=job.pending)

    def finish(self, job: Job) -> None:
        """Tell that the old value may be retired."""
        _call(job, "finish")

    def rollback(self, job: Job) -> None:
        """Tell that the pending value is given up."""
        _call(job, "rollback")


def _call(job: Job, step: str, **members: Any) -> egress.Answer:
    settings = settings_of(WebhookSettings, job)
    message = {"type": f"rotation.{step}", "rotation_id": job.id, "step": step, **members}
    body = strict_json.dumps(message)
    headers = signed(settings.signing_secret, f"{job.id}-{step}", body)
    try:
        answer = egress.post_json(settings.url, body.encode(), headers, timeout=TIMEOUT)
    except egress.EgressRefused:
        raise RotationFailed("the receiver's address is refused") from None
    except httpx.TimeoutException:
        raise RotationFailed("the receiver does not answer in time") from None
    except httpx.HTTPError:
        raise RotationFailed("the receiver cannot be reached") from None
    if not answer.ok:
        raise RotationFailed(f"the receiver answered {answer.status}")
    return answer


def signed(secret: SecretStr, message_id: str, body: str) -> dict[str, str]:
    """Return the headers by which the receiver knows us, the message and its time."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret.get_secret_value()).sign(message_id, now, body),
    }
