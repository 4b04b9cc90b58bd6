"""The built-in kinds of rotation; they act on target systems, never on our own database."""

from app.rotators.kinds.base import Job, Kind, RotationFailed
from app.rotators.kinds.postgres import PostgresKind, PostgresSettings
from app.rotators.kinds.random_text import RandomKind, RandomSettings
from app.rotators.kinds.webhook import WebhookKind, WebhookSettings

__all__ = [
    "KINDS",
    "Job",
    "Kind",
    "PostgresSettings",
    "RandomSettings",
    "RotationFailed",
    "WebhookSettings",
]

KINDS: dict[str, Kind] = {
    "random": RandomKind(),
    "webhook": WebhookKind(),
    "postgres": PostgresKind(),
}
