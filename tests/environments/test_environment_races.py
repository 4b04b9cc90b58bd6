"""Environments that come and go while others write into them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.client import Person

WRITERS = 4
ROUNDS = 12


def configs(person: Person) -> list[tuple[str, str | None]]:
    listed = person.get("/config/list", limit=500).json()["configs"]
    return [(one["name"], one["environment"]) for one in listed]


def environments(person: Person) -> set[str]:
    listed = person.get("/environments").json()["environments"]
    return {one["name"] for one in listed}


def again(call: Any) -> Any:
    while (answer := call()).status_code == 503:
        pass
    return answer


def test_no_config_is_left_in_a_deleted_environment(ada: Person):
    """Writers create, delete and revive configs in `qa`, while it is deleted and revived."""

    def write(number: int) -> set[int]:
        seen = set()
        for turn in range(ROUNDS):
            name = f"s{number}" if turn % 2 else f"s{number}-{turn}"
            written = again(lambda n=name: ada.update(n, {"n": n}, environment="qa"))
            where = {"service": name, "environment": "qa"}
            gone = again(lambda w=where: ada.request("DELETE", "/config/delete", params=w))
            seen |= {written.status_code, gone.status_code}
        return seen

    def come_and_go() -> set[int]:
        seen = set()
        for _ in range(ROUNDS * 2):
            gone = again(lambda: ada.request("DELETE", "/environments/qa"))
            assert gone.status_code in {204, 409}, gone.text
            if gone.status_code == 204:
                inside = [name for name, where in configs(ada) if where == "qa"]
                made = again(lambda: ada.post("/environments", {"name": "qa"}))
                assert (inside, made.status_code) == ([], 201)
            seen.add(gone.status_code)
        return seen

    ada.post("/environments", {"name": "qa"})
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        leaving = pool.submit(come_and_go)
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        statuses = set().union(*(one.result() for one in writing))
        leaving.result()
    assert statuses <= {200, 404, 422}, statuses
    here = environments(ada)
    assert [one for one in configs(ada) if one[1] and one[1] not in here] == []


def test_one_of_many_creations_wins(ada: Person):
    def create(number: int) -> int:
        body = {"name": "qa", "description": str(number)}
        return int(again(lambda: ada.post("/environments", body)).status_code)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8))) == [201] + [409] * 7
    listed = ada.get("/environments").json()["environments"]
    assert [one["name"] for one in listed].count("qa") == 1


def test_writers_and_a_rename_do_not_lose_each_other(ada: Person):
    ada.update("billing", {"n": 0}, environment="staging")

    def write(number: int) -> list[int]:
        wrote = []
        for turn in range(ROUNDS):
            for name in ("staging", "test"):
                answer = again(
                    lambda e=name, t=turn: ada.update(
                        f"s{number}", {"by": [number, t, e]}, environment=e
                    )
                )
                assert answer.status_code in {200, 422}, answer.text
                if answer.status_code == 200:
                    wrote.append(answer.json()["revision"])
        return wrote

    def rename() -> None:
        for turn in range(ROUNDS):
            old, new = ("staging", "test") if turn % 2 == 0 else ("test", "staging")
            body = {"name": new}
            answer = again(lambda o=old, b=body: ada.request("PATCH", f"/environments/{o}", json=b))
            assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        renaming = pool.submit(rename)
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        wrote = [revision for one in writing for revision in one.result()]
        renaming.result()
    assert len(wrote) == len(set(wrote))
    here = environments(ada)
    names = configs(ada)
    assert {where for _, where in names if where} <= here
    assert len(names) == len(set(names)) == WRITERS + 1
