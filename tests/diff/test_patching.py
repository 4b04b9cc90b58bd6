import json
import pickle
from typing import Any

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diff.patching import MAX_COPIED, MAX_OPERATIONS, PatchError, apply_patch, merge_patch
from app.diff.structural import json_patch, same
from app.formats import json as formats

# no numbers that the RFC takes for equal and structural.same does not
SCALARS = st.sampled_from([None, True, False, 7, "", "0", "~1", "é"])
KEYS = st.sampled_from(["", "a", "0", "1", "-", "/", "~", "~1"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TOKENS = st.sampled_from(["", "a", "0", "1", "2", "01", "-", "~0", "~1", "~01", "~2"])
POINTERS = st.lists(TOKENS, max_size=3).map(lambda tokens: "".join("/" + t for t in tokens))
OPERATIONS = st.one_of(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "replace", "test"]),
            "path": POINTERS,
            "value": VALUES,
        }
    ),
    st.fixed_dictionaries({"op": st.just("remove"), "path": POINTERS.filter(bool)}),
    st.fixed_dictionaries(
        {"op": st.sampled_from(["move", "copy"]), "path": POINTERS, "from": POINTERS}
    ),
)


def add(path: Any, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def copy(source: Any, path: Any) -> dict[str, Any]:
    return {"op": "copy", "from": source, "path": path}


def move(source: Any, path: Any) -> dict[str, Any]:
    return {"op": "move", "from": source, "path": path}


def remove(path: Any) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def replace(path: Any, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def check(path: Any, value: Any) -> dict[str, Any]:
    return {"op": "test", "path": path, "value": value}


def refusal(document: Any, patch: Any) -> PatchError:
    before = json.dumps([document, patch])
    with pytest.raises(PatchError) as caught:
        apply_patch(document, patch)
    assert json.dumps([document, patch]) == before
    return caught.value


def containers(value: Any) -> list[int]:
    found, queue = [], [value]
    for item in queue:
        if isinstance(item, dict | list):
            found.append(id(item))
            queue.extend(item.values() if isinstance(item, dict) else item)
    return found


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        pytest.param({"foo": "bar"}, [add("/baz", "qux")], {"foo": "bar", "baz": "qux"}, id="A.1"),
        pytest.param(
            {"foo": ["bar", "baz"]},
            [add("/foo/1", "qux")],
            {"foo": ["bar", "qux", "baz"]},
            id="A.2",
        ),
        pytest.param({"baz": "qux", "foo": "bar"}, [remove("/baz")], {"foo": "bar"}, id="A.3"),
        pytest.param(
            {"foo": ["bar", "qux", "baz"]}, [remove("/foo/1")], {"foo": ["bar", "baz"]}, id="A.4"
        ),
        pytest.param(
            {"baz": "qux", "foo": "bar"},
            [replace("/baz", "boo")],
            {"baz": "boo", "foo": "bar"},
            id="A.5",
        ),
        pytest.param(
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [move("/foo/waldo", "/qux/thud")],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
            id="A.6",
        ),
        pytest.param(
            {"foo": ["all", "grass", "cows", "eat"]},
            [move("/foo/1", "/foo/3")],
            {"foo": ["all", "cows", "eat", "grass"]},
            id="A.7",
        ),
        pytest.param(
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [check("/baz", "qux"), check("/foo/1", 2)],
            {"baz": "qux", "foo": ["a", 2, "c"]},
            id="A.8",
        ),
        pytest.param(
            {"foo": "bar"},
            [add("/child", {"grandchild": {}})],
            {"foo": "bar", "child": {"grandchild": {}}},
            id="A.10",
        ),
        pytest.param(
            {"foo": "bar"},
            [add("/baz", "qux") | {"xyz": 123}],
            {"foo": "bar", "baz": "qux"},
            id="A.11",
        ),
        pytest.param({"/": 9, "~1": 10}, [check("/~01", 10)], {"/": 9, "~1": 10}, id="A.14"),
        pytest.param(
            {"foo": ["bar"]},
            [add("/foo/-", ["abc", "def"])],
            {"foo": ["bar", ["abc", "def"]]},
            id="A.16",
        ),
        pytest.param({"a": 1}, [], {"a": 1}, id="nothing"),
        pytest.param({"a": 1, "b": 2}, [add("/a", None)], {"a": None, "b": 2}, id="add over"),
        pytest.param({}, [add("/", 1), add("//", 2), add("//~1", 3)], None, id="scalar parent"),
        pytest.param({}, [add("/", {}), add("//", 1)], {"": {"": 1}}, id="empty names"),
        pytest.param({}, [add("/-", 1), add("/01", 2)], {"-": 1, "01": 2}, id="not indexes"),
        pytest.param([1, 2], [add("/2", 3), add("/0", 0)], [0, 1, 2, 3], id="ends"),
        pytest.param({"a": 1}, [check("", {"a": 1}), replace("", [1])], [1], id="whole"),
        pytest.param({"a": 1}, [add("", 5)], 5, id="add whole"),
        pytest.param({"a": {"b": 1}}, [move("/a", "")], {"b": 1}, id="move to whole"),
        pytest.param({"a": {"b": 1}}, [copy("/a/b", "")], 1, id="copy to whole"),
        pytest.param({"a": 1}, [move("", "")], {"a": 1}, id="move whole onto itself"),
        pytest.param({"a": [1, 2]}, [move("/a/0", "/a/0")], {"a": [1, 2]}, id="move onto itself"),
        pytest.param({"a": 1, "ab": {}}, [move("/a", "/ab/c")], {"ab": {"c": 1}}, id="prefix"),
        pytest.param({"a": [1]}, [copy("", "/b")], {"a": [1], "b": {"a": [1]}}, id="copy whole"),
        pytest.param([[1], 2], [move("/1", "/0/-")], [[1, 2]], id="move deeper"),
        pytest.param({"a": 1}, [remove("/a") | {"from": 3, "value": 4}], {}, id="ignored members"),
    ],
)
def test_examples(document, patch, result):
    if result is None:
        assert refusal(document, patch).index == 1
        return
    before = json.dumps([document, patch])
    assert json.dumps(apply_patch(document, patch), sort_keys=True) == json.dumps(
        result, sort_keys=True
    )
    assert json.dumps([document, patch]) == before


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({}, id="not an array"),
        pytest.param("[]", id="text"),
        pytest.param([[]], id="not an object"),
        pytest.param([{"path": "/a", "value": 1}], id="no op"),
        pytest.param([{"op": "spam", "path": "/a"}], id="unknown op"),
        pytest.param([{"op": "Add", "path": "/a", "value": 1}], id="case of op"),
        pytest.param([{"op": ["add"], "path": "/a", "value": 1}], id="type of op"),
        pytest.param([{"op": "remove"}], id="no path"),
        pytest.param([{"op": "add", "path": "/a"}], id="add without value"),
        pytest.param([{"op": "replace", "path": "/a"}], id="replace without value"),
        pytest.param([{"op": "test", "path": "/a"}], id="test without value"),
        pytest.param([{"op": "copy", "path": "/a"}], id="copy without from"),
        pytest.param([{"op": "move", "path": "/a"}], id="move without from"),
        pytest.param([add(None, 1)], id="path is null"),
        pytest.param([add(["a"], 1)], id="path is an array"),
        pytest.param([copy(0, "/a")], id="from is a number"),
        pytest.param([add("a", 1)], id="no slash"),
        pytest.param([add("#/a", 1)], id="fragment"),
        pytest.param([add("/~", 1)], id="tilde at the end"),
        pytest.param([add("/~2", 1)], id="tilde 2"),
        pytest.param([add("/~~0", 1)], id="two tildes"),
        pytest.param([copy("/a~/b", "/c")], id="tilde in from"),
        pytest.param([move("/a", "/a/b")], id="move into its own child"),
        pytest.param([move("", "/a")], id="move the whole into itself"),
        pytest.param([remove("")], id="remove the whole"),
        pytest.param([check("/a", "secret"), remove("/a"), add("", 1), add("b", 1)], id="later"),
        pytest.param([check("/none", 1), {"op": "secret"}], id="before missing"),
    ],
)
def test_malformed(patch):
    error = refusal({"a": {"b": 1}}, patch)
    assert error.kind == "malformed"
    assert error.index == (len(patch) - 1 if isinstance(patch, list) else -1)
    assert "secret" not in error.args[0]


@pytest.mark.parametrize(
    "operation",
    [
        add("/none/x", 1),  # A.12
        add("/list/3", 1),
        add("/list/02", 1),
        add("/list/+1", 1),
        add("/list/-1", 1),
        add("/list/1e0", 1),
        add("/list/٣", 1),
        add("/list/" + "9" * 5000, 1),
        add("/list/name", 1),
        add("/list/", 1),
        add("/list/-/x", 1),
        add("/text/0", 1),
        add("/null/x", 1),
        add("/list/0/x", 1),
        remove("/none"),
        remove("/list/2"),
        remove("/list/-"),
        remove("/text/0"),
        remove("/~1"),
        replace("/none", 1),
        replace("/list/-", 1),
        replace("/list/2", 1),
        check("/none", None),
        check("/list/-", None),
        move("/none", "/x"),
        move("/list/-", "/x"),
        move("/list/0", "/list/2"),
        copy("/none", "/x"),
        copy("/list/00", "/x"),
        copy("/text", "/none/x"),
    ],
)
def test_missing(operation):
    error = refusal({"list": [1, 2], "text": "secret", "null": None}, [add("/first", 1), operation])
    assert (error.kind, error.index) == ("missing", 1)
    assert "secret" not in error.args[0]
    assert len(error.args[0]) < 300


@pytest.mark.parametrize(
    ("value", "other"),
    [("secret", "other"), (1, True), (1, 1.0), (0.0, -0.0), ("10", 10), ([1, 2], [2, 1]), ({}, [])],
)
def test_failed_test(value, other):
    error = refusal({"a": value}, [check("/a", value), check("/a", other)])
    assert (error.kind, error.index) == ("test", 1)
    assert error.args == ("The test of /a failed.",)
    assert refusal(value, [check("", other)]).args == ("The test of the whole document failed.",)


def test_test_ignores_order_of_members_and_spelling_of_numbers():
    document = formats.loads('{"a": {"x": 1e2, "y": null}}')
    assert same(apply_patch(document, [check("/a", {"y": None, "x": 100.0})]), document)
    assert formats.dumps(apply_patch(document, [copy("/a/x", "/b")])) == (
        '{"a":{"x":1e2,"y":null},"b":1e2}'
    )


def test_members_keep_their_places():
    document = {"z": 1, "a": 2, "m": 3}
    patch = [replace("/z", 9), add("/a", 8), remove("/m"), add("/b", 7), add("/m", 6)]
    assert json.dumps(apply_patch(document, patch)) == '{"z": 9, "a": 8, "b": 7, "m": 6}'


def test_values_placed_twice_are_not_shared():
    value: dict[str, Any] = {"list": []}
    patch = [
        add("/a", value),
        add("/b", value),
        copy("/a", "/c"),
        replace("/old", value),
        add("/c/list/-", 1),
        add("/a/list/-", 2),
    ]
    document: dict[str, Any] = {"old": [], "kept": [[]]}
    result = apply_patch(document, patch)
    assert result == {
        "old": {"list": []},
        "kept": [[]],
        "a": {"list": [2]},
        "b": {"list": []},
        "c": {"list": [1]},
    }
    every = containers(result) + containers(document) + containers(value)
    assert len(every) == len(set(every))


def test_number_of_operations_is_bounded():
    operation = check("/a", 1)
    assert apply_patch({"a": 1}, [operation] * MAX_OPERATIONS) == {"a": 1}
    error = refusal({"a": 1}, [operation] * (MAX_OPERATIONS + 1))
    assert (error.kind, error.index) == ("malformed", MAX_OPERATIONS)


def test_copies_are_bounded():
    document = {"from": [1] * 99_999, "to": []}
    fitting = [copy("/from", "/to/-")] * (MAX_COPIED // 100_000)
    assert len(apply_patch(document, fitting)["to"]) == len(fitting)
    error = refusal(document, [*fitting, copy("/from/0", "/x")])
    assert (error.kind, error.index) == ("malformed", len(fitting))


@pytest.mark.parametrize(
    "value", ["x" * 400_000, {"x" * 400_000: 1}, formats.loads("1." + "0" * 400_000)]
)
def test_copies_of_long_texts_are_bounded(value):
    error = refusal({"from": value, "to": []}, [copy("/from", "/to/-")] * 100)
    assert (error.kind, error.index) == ("malformed", 79)


def test_doubling_is_bounded():
    assert refusal([], [copy("", "/-")] * 100).kind == "malformed"
    assert refusal({}, [copy("", "/a")] * 100).index == 63


def test_moves_are_bounded_only_where_they_go_deeper():
    document = {"a": [1] * 99_999, "b": {}}
    renames = [move("/a", "/c"), move("/c", "/a")] * 100
    assert same(apply_patch(document, renames), document)
    error = refusal(document, [move("/a", "/b/a"), move("/b/a", "/a")] * 100)
    assert (error.kind, error.index) == ("malformed", 20)


@pytest.mark.parametrize(
    ("fitting", "too_deep"),
    [
        (add("/a/a", nested(62)), add("/a/a", nested(63))),
        (replace("/a/a", [nested(61)]), replace("/a/a", [nested(62)])),
        (add("", nested(64)), add("", nested(65))),
        (copy("/deep", "/a/a"), copy("/deep", "/a/a/a")),
        (move("/deep", "/a/a"), move("/deep", "/a/a/a")),
        (add("/deep" + "/a" * 62, 1), add("/deep" + "/a" * 62, {})),
    ],
)
def test_depth_is_bounded(fitting, too_deep):
    document = {"deep": nested(62), "a": {"a": {}}}
    if fitting["path"].startswith("/deep"):
        document["deep"] = nested(63)
        fitting, too_deep = (
            operation | {"path": "/deep" + "/a" * 63} for operation in (fitting, too_deep)
        )
    formats.loads(json.dumps(apply_patch(document, [fitting])))
    error = refusal(document, [too_deep])
    assert (error.kind, error.index) == ("malformed", 0)
    assert "nested deeper than 64" in error.args[0]


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(refusal({}, [add("/a", 1), remove("/b")])))
    assert (error.args, error.index, error.kind) == (
        ("The document has no value at /b.",),
        1,
        "missing",
    )


@given(VALUES, VALUES)
def test_patch_from_a_comparison_gives_new(old, new):
    patch = json_patch(old, new)
    before = json.dumps([old, new, patch])
    result = apply_patch(old, patch)
    assert same(result, new)
    assert json.dumps([old, new, patch]) == before
    assert not set(containers(result)) & set(containers([old, patch]))


@given(VALUES, st.lists(OPERATIONS, max_size=4))
def test_agrees_with_jsonpatch(document, patch):
    before = json.dumps([document, patch])
    failed = False
    try:
        expected = jsonpatch.apply_patch(document, patch)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
        failed = True
    if failed:
        refusal(document, patch)
    else:
        assert same(apply_patch(document, patch), expected)
    assert json.dumps([document, patch]) == before


@given(VALUES, VALUES)
def test_a_test_holds_for_the_same_value_only(document, value):
    assert same(apply_patch(document, [check("", document)]), document)
    if same(document, value):
        assert same(apply_patch(document, [check("", value)]), document)
    else:
        assert refusal(document, [check("", value)]).kind == "test"


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": None, "c": [None]}}, {"a": {"c": [None]}}),
        (
            {
                "title": "Goodbye!",
                "author": {"givenName": "John", "familyName": "Doe"},
                "tags": ["example", "sample"],
                "content": "This will be unchanged",
            },
            {
                "title": "Hello!",
                "phoneNumber": "+01-123-456-7890",
                "author": {"familyName": None},
                "tags": ["example"],
            },
            {
                "title": "Hello!",
                "author": {"givenName": "John"},
                "tags": ["example"],
                "content": "This will be unchanged",
                "phoneNumber": "+01-123-456-7890",
            },
        ),
    ],
)
def test_merge_examples(document, patch, result):
    before = json.dumps([document, patch])
    assert json.dumps(merge_patch(document, patch)) == json.dumps(result)
    assert json.dumps([document, patch]) == before


@given(VALUES, VALUES)
def test_merging_twice_is_merging_once(document, patch):
    before = json.dumps([document, patch])
    once = merge_patch(document, patch)
    assert not set(containers(once)) & set(containers([document, patch]))
    assert json.dumps(merge_patch(once, patch)) == json.dumps(once)
    assert json.dumps([document, patch]) == before
