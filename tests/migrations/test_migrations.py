"""The schema is what the models say, and every migration goes down and up again."""

from sqlalchemy import create_engine, inspect

from alembic import command
from app.core.settings import Settings
from app.launcher.migrations import config


def tables(settings: Settings) -> set[str]:
    engine = create_engine(settings.database())
    try:
        return set(inspect(engine).get_table_names())
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
