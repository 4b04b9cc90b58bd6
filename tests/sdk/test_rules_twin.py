"""The evaluator in the library is the server's, byte by byte, and answers what the vectors say."""

import json
from pathlib import Path

import pytest
from configsync._rules.contexts import context_of
from configsync._rules.flags import compile_all

from tests.processes import REPOSITORY
from tests.rules.make_vectors import FILE

ONE, OTHER = REPOSITORY / "app" / "rules", REPOSITORY / "sdk" / "src" / "configsync" / "_rules"


def contents(place: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(place)): file.read_bytes()
        for file in place.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }


def test_both_have_the_same_bytes():
    assert contents(ONE) == contents(OTHER), f"cp {ONE}/*.py {OTHER}/"


@pytest.mark.parametrize("group", json.loads(FILE.read_text()), ids=lambda group: group["name"])
def test_the_copy_answers_what_the_vectors_say(group):
    flags = compile_all(group["flags"], group["segments"])
    for case in group["cases"]:
        context = context_of(case.get("user_id"), case["context"])
        assert flags[case["flag"]].evaluate(context)._asdict() == case["expected"], case
