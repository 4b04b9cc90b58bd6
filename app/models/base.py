"""What every table shares."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column


class Base(DeclarativeBase):
    """The metadata, with names for constraints that error handlers can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own form)
        datetime: DateTime(timezone=True),
        int: BigInteger,
        str: Text,
    }


Name = Annotated[str, mapped_column(Text(collation="C"))]
"""A name that sorts by its bytes, the same on every machine."""
