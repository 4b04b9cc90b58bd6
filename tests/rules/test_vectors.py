"""One file says what every evaluator answers, this one and the client library's."""

import json

import pytest

from app.rules.contexts import context_of
from app.rules.flags import compile_all
from app.rules.results import Reason
from tests.rules.make_vectors import FILE, vectors

SETS = json.loads(FILE.read_text())


@pytest.mark.parametrize("group", SETS, ids=lambda group: group["name"])
def test_the_answers_are_those_of_the_file(group):
    flags = compile_all(group["flags"], group["segments"])
    for case in group["cases"]:
        context = context_of(case.get("user_id"), case["context"])
        assert flags[case["flag"]].evaluate(context)._asdict() == case["expected"], case


def test_the_file_is_as_it_is_made():
    assert FILE.read_text() == vectors(), "python -m tests.rules.make_vectors"


def test_the_file_shows_every_reason():
    assert {case["expected"]["reason"] for group in SETS for case in group["cases"]} == {*Reason}
