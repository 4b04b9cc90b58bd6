"""What can go wrong with accounts."""

from app.core.errors import Conflict, Forbidden, NotFound, TooManyRequests, Unauthorized
from app.core.handlers import constraints


class InvalidCredentials(Unauthorized):
    """The same answer for an unknown user, a wrong password and a disabled account."""

    code, title = "invalid_credentials", "Invalid credentials"

    def __init__(self) -> None:
        super().__init__("The user name or the password is wrong.")


class InvalidToken(Unauthorized):
    """The token is malformed, expired, revoked or not ours."""

    code, title = "invalid_token", "Invalid token"

    def __init__(self) -> None:
        super().__init__("The token is not valid, or not any more. Log in again.")


class InvalidApiKey(Unauthorized):
    """There is no such API key, or not any more."""

    code, title = "invalid_api_key", "Invalid API key"

    def __init__(self) -> None:
        super().__init__("The API key is not known here, or was revoked.")


class ApiKeyExpired(Unauthorized):
    """The API key's time is over."""

    code, title = "api_key_expired", "API key expired"

    def __init__(self) -> None:
        super().__init__("The API key has expired. Create a new one, or ask an admin to.")


class UsersOnly(Forbidden):
    """An API key has no account."""

    code, title = "users_only", "Users only"

    def __init__(self) -> None:
        super().__init__("This is for people: log in. An API key has no account.")


class LoginRequired(Unauthorized):
    """The call came without credentials."""

    code, title = "login_required", "Login required"

    def __init__(self) -> None:
        super().__init__(
            "Send Authorization: Bearer <token> (POST /auth/login gives you one) or X-API-Key."
        )


class TooManyLogins(TooManyRequests):
    """Wrong passwords, or more hashing than the machine can do."""

    code = "too_many_logins"


class UserExists(Conflict):
    """The name or e-mail address belongs to somebody."""

    code, title = "user_exists", "User exists"

    def __init__(self) -> None:
        super().__init__("The user name or the e-mail address is taken (case does not matter).")


class UserNotFound(NotFound):
    """There is no such user."""

    code, title = "user_not_found", "User not found"

    def __init__(self) -> None:
        super().__init__("There is no such user.")


class AdminsOnly(Forbidden):
    """Only a global admin may do this."""

    code, title = "admins_only", "Admins only"

    def __init__(self) -> None:
        super().__init__("Only an admin of this server may do this.")


class RegistrationClosed(Forbidden):
    """ALLOW_REGISTRATION is false."""

    code, title = "registration_closed", "Registration closed"

    def __init__(self) -> None:
        super().__init__("Registration is closed on this server; an admin can add you.")


for _name in ("uq_users_username", "uq_users_email"):
    constraints[_name] = UserExists
