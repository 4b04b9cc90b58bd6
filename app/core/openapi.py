"""The text of the OpenAPI document."""

from typing import Any

from fastapi import FastAPI

from app.core.schemas import Problem

DESCRIPTION = """
Versioned configuration, pushed live, audited, reversible.

**Start here:** `POST /auth/register`, `POST /auth/login`, press *Authorize* with the token,
`POST /config/update`, `GET /config/versions`, `GET /config/diff`, `POST /config/rollback`.

* A document is stored as it was written; equal content (member order aside) makes no version.
* Writes take `If-Match` with the ETag of a read (412 when somebody was faster), and POSTs an
  `Idempotency-Key`, so that they can be sent again safely.
* Errors are `application/problem+json` with a stable `code`.
* `_global` as service reaches every service; `environment` left out means all environments.
"""

TAGS = [
    {"name": "accounts", "description": "Register, log in, log out; users (global admins)."},
    {"name": "documents", "description": "Configs as whole documents: the everyday surface."},
    {"name": "keys", "description": "Single keys of configs, and change sets of many."},
    {"name": "secrets", "description": "Sharing, destroying and renewing secrets."},
    {"name": "flags", "description": "Feature flags, segments, and what somebody gets."},
    {"name": "live", "description": "Changes pushed as they are committed."},
    {"name": "instances", "description": "Which config runs where: reports of running services."},
    {"name": "workspaces", "description": "Who shares what: members, roles, services."},
    {"name": "api keys", "description": "What programs show to be let in, and how far."},
    {"name": "audit", "description": "Who did what, when, from where."},
    {"name": "health", "description": "For people, load balancers and orchestrators."},
]


def use_problem_schemas(app: FastAPI) -> None:
    """Let the document say what errors look like and how to log in."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(make())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add the problem schema, the security scheme, and drop FastAPI's own 422."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    components["securitySchemes"] = {
        "token": {
            "type": "oauth2",
            "flows": {"password": {"tokenUrl": "auth/login", "scopes": {}}},
        },
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"token": []}, {"api_key": []}, {}]
    return document
