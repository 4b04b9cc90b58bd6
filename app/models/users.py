"""People, their sessions, and the brake on guessing passwords."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name


class User(Base):
    """A person with a password. Names and addresses are unique regardless of case."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'admin')", name="role"),
        Index("uq_users_username", text("lower(username)"), unique=True),
        Index("uq_users_email", text("lower(email)"), unique=True),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    username: Mapped[Name]
    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str]
    disabled: Mapped[bool] = mapped_column(server_default=false())
    home_workspace_id: Mapped[int | None] = mapped_column(ForeignKey("workspaces.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LoginSession(Base):
    """One login: a token is good while its row says so. Swept when expired."""

    __tablename__ = "login_sessions"

    jti: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class LoginThrottle(Base):
    """Failed logins of one account from one address; address `*` counts them all. Swept."""

    __tablename__ = "login_throttles"

    account: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime]
