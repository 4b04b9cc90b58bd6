"""What the tests of use say to the server, and to its tables."""

from typing import Any

from sqlalchemy import text

from app.core import db
from app.usage.recorder import usage
from tests.client import Person
from tests.flags.calls import FLAGS, PRODUCTION

USAGE, STALE = f"{FLAGS}/usage", f"{FLAGS}/stale"
Counts = dict[tuple[str, str | None], int]


def said(flag: str, variant: str, count: int = 1, rule_id: str | None = None) -> dict[str, Any]:
    """Return an entry of a report."""
    return {"flag": flag, "variant": variant, "rule_id": rule_id, "count": count}


def report(person: Person, *counts: dict[str, Any], **more: Any) -> Any:
    """Report counts as a client does."""
    return person.post(USAGE, {"environment": PRODUCTION, "counts": [*counts], **more})


def read(person: Person, **params: Any) -> dict[str, Any]:
    """Have all that is counted written; return what is told of it."""
    usage.flush()
    answer = person.get(USAGE, **params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def used(person: Person, flag: str = "checkout", **params: Any) -> Counts:
    """Return how often one flag gave a variant by a rule."""
    (found,) = read(person, flag=flag, **{"environment": PRODUCTION, **params})["flags"]
    counts = {(one["variant"], one["rule_id"]): one["count"] for one in found["counts"]}
    assert found["total"] == sum(counts.values())
    return counts


def unknown(person: Person, **params: Any) -> dict[str, int]:
    """Return how often flags were asked for that are not there."""
    return {one["flag"]: one["count"] for one in read(person, **params)["unknown"]}


def stale(person: Person, **params: Any) -> dict[str, dict[str, Any]]:
    """Return the stale flags of production by name."""
    usage.flush()
    answer = person.get(STALE, **{"environment": PRODUCTION, **params})
    assert answer.status_code == 200, answer.text
    return {one["flag"]: one for one in answer.json()["flags"]}


def sql(statement: str, **values: Any) -> None:
    """Change rows as time would."""
    with db.transaction() as session:
        session.execute(text(statement), values)


def age(days: float) -> None:
    """Let everything that was changed so far have been changed so many days before."""
    sql("UPDATE revisions SET at = at - make_interval(secs => :s)", s=days * 86400)


def seen(flag: dict[str, Any], variant: str, days: float, count: int = 1) -> None:
    """Let a flag have served a variant so many days ago."""
    sql(
        """
        INSERT INTO flag_counts (flag_id, day, variant, rule_id, count, first_seen, last_seen)
        SELECT :flag, (at AT TIME ZONE 'UTC')::date, :variant, '', :count, at, at
        FROM (SELECT now() - make_interval(secs => :s) AS at) AS moment
        """,
        flag=flag["id"],
        variant=variant,
        count=count,
        s=days * 86400,
    )
