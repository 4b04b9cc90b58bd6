"""Bringing the database's schema up to date."""

from pathlib import Path

from alembic.config import Config

from alembic import command

ROOT = Path(__file__).resolve().parents[2]


def config() -> Config:
    """Return Alembic's configuration."""
    return Config(ROOT / "alembic.ini")


def migrate() -> None:
    """Apply the migrations that are missing."""
    command.upgrade(config(), "head")
