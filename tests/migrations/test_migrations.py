"""The schema is what the models say, and every migration goes down and up again."""

import re

from sqlalchemy import create_engine, inspect

from alembic import command
from app.core.settings import Settings
from app.launcher.migrations import config


def tables(settings: Settings) -> set[str]:
    """Return the tables without the months of partitioned ones, which servers add to."""
    engine = create_engine(settings.database())
    try:
        names = inspect(engine).get_table_names()
        return {name for name in names if not re.search(r"_p\d{6}$", name)}
    finally:
        engine.dispose()


def test_models_and_migrations_agree(settings: Settings):
    command.check(config())


def test_up_down_up(settings: Settings):
    full = tables(settings)
    command.downgrade(config(), "base")
    assert tables(settings) == {"alembic_version"}
    command.upgrade(config(), "head")
    assert tables(settings) == full


def test_migrating_twice_changes_nothing(settings: Settings):
    before = tables(settings)
    command.upgrade(config(), "head")
    assert tables(settings) == before
