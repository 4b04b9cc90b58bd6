"""Every way to evaluate a flag counts, once."""

from tests.client import Person
from tests.flags.calls import FLAGS, PRODUCTION, evaluate, make
from tests.usage.use import unknown, used

OFREP = "/ofrep/v1/evaluate/flags"


def test_each_door_counts_variant_and_rule(ada: Person):
    make(ada, target_users=["eve"], rollout_percentage=0)
    make(ada, "other")
    evaluate(ada, user_id="eve")
    assert used(ada) == {("on", "target_users"): 1}
    asked = {"environment": PRODUCTION, "user_id": "bob"}
    assert ada.post(f"{FLAGS}/evaluate/batch", asked | {"flags": ["checkout"]}).status_code == 200
    assert used(ada) == {("on", "target_users"): 1, ("off", "rollout"): 1}
    assert ada.post(f"{FLAGS}/evaluate/batch", asked).status_code == 200
    assert used(ada)["off", "rollout"] == 2
    body = {"context": {"targetingKey": "eve"}}
    assert ada.post(f"{OFREP}/checkout?environment={PRODUCTION}", body).status_code == 200
    assert used(ada)["on", "target_users"] == 2
    assert ada.post(f"{OFREP}?environment={PRODUCTION}", body).status_code == 200
    assert used(ada) == {("on", "target_users"): 3, ("off", "rollout"): 2}
    assert used(ada, "other") == {("on", None): 2}


def test_explaining_is_not_use(ada: Person):
    make(ada)
    asked = {"flag_name": "checkout", "environment": PRODUCTION, "user_id": "eve"}
    assert ada.post(f"{FLAGS}/checkout/explain", asked).status_code == 200
    assert used(ada) == {}


def test_each_door_tells_of_unknown_flags(ada: Person):
    asked = {"flag_name": "gone", "environment": PRODUCTION, "user_id": "eve"}
    assert ada.post(f"{FLAGS}/evaluate", asked).status_code == 404
    assert unknown(ada) == {"gone": 1}
    body = {"context": {"targetingKey": "eve"}}
    assert ada.post(f"{OFREP}/gone?environment={PRODUCTION}", body).status_code == 404
    assert unknown(ada) == {"gone": 2}
