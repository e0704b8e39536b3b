"""The page's answers, worked out by hand from a small house; see `record_house` for what happens in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncmachine.web.questions import QUESTIONS
from history import Questions
from tests.asyncmachine.web_house import NOON, SECOND, Asker, a_house, moment, page_of, paths


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Asker]:
    async with a_house(tmp_path) as store:
        yield Asker(page_of(store))


async def test_what_the_page_is_about(house: Asker) -> None:
    info = await house.get("info")
    assert (info["mode"], info["title"], info["live"], info["machines"]) == ("history", "house", False, 2)
    assert info["owners"] == [{"owner": "alice", "machines": 2, "name": None}]
    assert {state["name"]: state["machines"] for state in info["states"]} == {
        **dict.fromkeys(("Closed", "Open", "Locked", "On"), 1),
        "Exception": 2,
    }
    assert (info["first"], info["relations"], info["token"]) == (moment(0), True, False)
    assert int(info["last"]) >= NOON + 60 * SECOND
    assert [graph["name"] for graph in info["graph"]] == [""]


async def test_each_machine_once_as_it_was(house: Asker) -> None:
    """What bob saw is no machine; and a moment is ns, ISO 8601, or a while ago."""
    for at in (moment(15), "2013-02-07T12:00:15Z"):
        network = await house.get("network", at=at)
        assert network["asked"] == moment(15)
        assert {m["key"]: m["active"] for m in network["machines"]} == {"alice/door": ["Open"], "alice/light": ["On"]}
    door = (await house.get("network", at=moment(15)))["machines"][0]
    assert (door["tags"], door["peer"], door["error"], door["at"]) == (["room:hall"], "alice", False, moment(10))
    late = await house.get("network")
    assert {m["machine"]: m["error"] for m in late["machines"]} == {"door": False, "light": True}
    early = await house.get("network", at=str(NOON - 1))
    assert (early["machines"], early["not_yet"]) == ([], 2)


async def test_the_network_by_owner_tag_state_and_observer(house: Asker) -> None:
    at = moment(35)
    assert len((await house.get("network", at=at, owner="alice"))["machines"]) == 2
    assert [m["key"] for m in (await house.get("network", at=at, tag="room:hall"))["machines"]] == ["alice/door"]
    assert [m["key"] for m in (await house.get("network", at=at, state="Locked"))["machines"]] == ["alice/door"]
    cut = await house.get("network", at=at, limit=1)
    assert (len(cut["machines"]), cut["truncated"]) == (1, True)
    (seen,) = (await house.get("network", at=moment(32), observer="bob"))["machines"]
    assert (seen["peer"], seen["active"]) == ("alice", ["Closed"])


async def test_answers_are_those_of_the_history(house: Asker) -> None:
    """For every moment of interest, the page and `Questions` say the same."""
    ask = Questions(house.page.source.store, lambda: NOON + 3600 * SECOND)
    for seconds in range(0, 70, 3):
        at = NOON + seconds * SECOND
        there = await house.get("network", at=str(at))
        then = ask.network(at, [("alice", "door"), ("alice", "light")])
        assert {m["machine"]: tuple(m["active"]) for m in there["machines"]} == {
            m.machine: m.active for m in then.values()
        }


async def test_the_graph_of_a_moment(house: Asker) -> None:
    graph = await house.get("graph", at=moment(15))
    assert graph["derived"] is False
    assert {v["id"]: v["key"] for v in graph["vertices"]} == {
        "m:alice/door": "alice/door",
        "m:alice/light": "alice/light",
    }
    assert graph["kinds"] == {"pipe add": 1, "pipe remove": 1}
    edge = graph["edges"][0]
    assert (edge["source"], edge["target"], edge["mutation"]) == ("m:alice/door", "m:alice/light", "add")
    assert edge["label"].startswith("Open → On")
    assert len({e["id"] for e in graph["edges"]}) == 2
    one = await house.get("graph", at=moment(15), machine="door")
    assert one["kinds"]["remove"] == 3
    assert one["kinds"]["require"] == 1
    assert {v["label"] for v in one["vertices"] if v["kind"] == "state" and v["machine"] == "door"} >= {
        "Open",
        "Locked",
    }
    assert (await house.get("graph", at=moment(15), kinds="pipe add"))["kinds"] == {"pipe add": 1}


async def test_a_graph_is_derived_where_none_was_recorded(house: Asker) -> None:
    """The recording of the graph ended with the program."""
    late = str(NOON + 3600 * SECOND)
    graph = await house.get("graph", at=late)
    assert graph["derived"] is True
    assert {v["id"] for v in graph["vertices"]} == {"p:alice", "m:alice/door", "m:alice/light"}
    assert (await house.get("graph", at=late, machine="door"))["kinds"] == {"remove": 3, "require": 1}
    assert (await house.get("graph", at=late, kinds="owns"))["kinds"] == {"owns": 2}


async def test_all_about_a_machine(house: Asker) -> None:
    found = await house.get("machine", machine="light", at=moment(15))
    assert found["moment"]["ticks"] == {"On": 1, "Exception": 0}
    assert [(r["machine"], r["called"]) for r in found["causes"]] == [("door", ["Open"])]
    door = await house.get("machine", machine="alice/door", at=moment(15))
    assert [(r["machine"], r["activated"]) for r in door["effects"]] == [("light", ["On"])]
    states = {state["name"]: state for state in door["states"]}
    assert (states["Open"]["tick"], states["Open"]["active"], states["Open"]["remove"]) == (
        1,
        True,
        ["Closed", "Locked"],
    )
    assert (states["Closed"]["auto"], states["Locked"]["require"]) == (True, ["Closed"])
    assert (states["Open"]["last_change"], states["Locked"]["last_change"]) == (moment(10), None)
    assert (await house.get("machine", machine="door", at="@3"))["moment"]["active"] == ["Open"]


async def test_what_somebody_believed_beside_what_was_so(house: Asker) -> None:
    """Bob hears of each change five seconds later, and of none after the door was locked."""
    (right,) = (await house.get("machine", machine="door", at=moment(28)))["beliefs"]
    assert (right["observer"], right["known"], right["behind_ticks"], right["stale_ms"]) == ("bob", True, 0, 0)
    (late,) = (await house.get("machine", machine="door", at=moment(32)))["beliefs"]
    assert (late["behind_ticks"], late["stale_ms"], late["ticks"]) == (1, 2000, {"Locked": [1, 0]})
    (cut_off,) = (await house.get("machine", machine="door", at=moment(48)))["beliefs"]
    assert cut_off["ticks"] == {"Closed": [4, 3], "Open": [3, 2], "Locked": [2, 1]}
    assert (cut_off["behind_ticks"], cut_off["stale_ms"], cut_off["at"]) == (3, 8000, moment(35))
    assert (await house.get("machine", machine="light", at=moment(48)))["beliefs"] == []


async def test_the_log_comes_in_pages(house: Asker) -> None:
    every = (await house.get("log", machine="door", order="oldest", limit=100))["records"]
    assert [r["mutation"] for r in every] == ["base", *["add"] * 6]
    assert [r["rejected"] for r in every] == [*[False] * 6, True]
    found: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = await house.get("log", machine="door", limit=2, **after)
        found += page["records"]
        if page["after"] is None:
            break
        after = {"after": page["after"]}
    assert [r["id"] for r in found] == [r["id"] for r in every][::-1]
    changes = (await house.get("log", state="Locked", order="oldest"))["records"]
    assert [(r["at"], r["activated"]) for r in changes] == [(moment(30), ["Locked"]), (moment(40), ["Open"])]
    window = await house.get("log", since=moment(10), until=moment(20), order="oldest")
    assert [(r["machine"], r["activated"]) for r in window["records"]] == [("light", ["On"]), ("door", ["Closed"])]
    assert {r["owner"] for r in (await house.get("log", limit=500))["records"]} == {"alice"}


async def test_the_lanes_of_a_machine(house: Asker) -> None:
    found = await house.get("intervals", machine="door", since=moment(15), until=moment(45))
    lanes = {
        lane["state"]: [(s["start"], s["end"], s["began"], s["ended"]) for s in lane["spans"]]
        for lane in found["lanes"]
    }
    assert lanes == {
        "Closed": [(moment(20), moment(40), True, True)],
        "Open": [(moment(15), moment(20), False, True), (moment(40), None, True, False)],
        "Locked": [(moment(30), moment(40), True, True)],
    }
    (lane,) = (await house.get("intervals", machine="door", states="Open"))["lanes"]
    assert lane["state"] == "Open"


async def test_steps(house: Asker) -> None:
    async def step(**asked: str) -> Any:
        return (await house.get("step", **asked))["at"]

    assert await step(at=moment(15), machine="door") == moment(20)
    assert await step(at=moment(15), machine="door", to="previous") == moment(10)
    assert await step(at=moment(20), machine="door", to="previous") == moment(10)
    assert await step(at=moment(15)) == moment(20)
    assert await step(at=moment(15), to="previous") == str(NOON + 10 * SECOND + 1)  # the light, an instant later
    assert await step(at=moment(15), by="change", state="Locked") == moment(30)
    assert await step(at=moment(45), by="change", state="Locked", to="previous") == moment(40)
    assert await step(at=moment(45), by="change", state="Locked") is None
    assert await step(at=moment(15), by="minute") == moment(60)
    assert await step(at=moment(60), by="minute", to="previous") == moment(0)
    assert await step(at=moment(15), by="minute", to="previous") == moment(0)
    assert await step(at=str(NOON - 1), to="previous") is None


async def test_two_moments_side_by_side(house: Asker) -> None:
    found = await house.get("diff", t1=moment(35), t2=moment(15))  # turned round
    assert (found["t1"], found["t2"], found["unchanged"]) == (moment(15), moment(35), 0)
    changes = {m["machine"]: (m["activated"], m["deactivated"], m["ticks"]) for m in found["machines"]}
    assert changes["door"] == (["Closed", "Locked"], ["Open"], {"Closed": 1, "Open": 1, "Locked": 1})
    assert found["graph"] == {"came": [], "went": []}
    born = await house.get("diff", t1=str(NOON - SECOND), t2=moment(15))
    assert {m["machine"] for m in born["machines"] if m["new"]} == {"door", "light"}
    assert {part["label"] for part in born["graph"]["came"] if part["vertex"]} == {"alice/door", "alice/light"}


async def test_how_much_happened_when(house: Asker) -> None:
    found = await house.get("density", since=moment(-5), until=moment(65), buckets=7)
    assert len(found["counts"]) == len(found["errors"]) == 7
    assert found["counts"] == [3, 2, 2, 1, 2, 1, 1]
    assert found["errors"] == [0, 0, 0, 0, 0, 0, 1]
    locked = await house.get("density", since=moment(-5), until=moment(65), buckets=7, machine="door", state="Locked")
    assert locked["counts"] == [0, 0, 0, 1, 1, 0, 0]


WRONG = [
    ("network", {"at": "yesterday"}, 400, "at", "'yesterday' is no moment: write 2013-02-09T02:00Z"),
    ("network", {"at": "9" * 19}, 400, "at", "beyond what can be recorded"),
    ("network", {"at": "@3"}, 400, "at", "is a time of one machine"),
    ("network", {"limit": "0"}, 400, "limit", "limit='0': give at least 1"),
    ("network", {"limit": "many"}, 400, "limit", "should be a whole number"),
    ("network", {"lmit": "1"}, 400, "lmit", "did you mean 'limit'?"),
    ("network", {"owner": "carol"}, 404, "owner", "nothing of 'carol' was recorded here"),
    ("network", {"state": "Opn"}, 400, "state", "no machine has a state 'Opn'"),
    ("network", {"observer": "carol"}, 404, "observer", "what 'carol' believed"),
    ("network", {"window": "x"}, 404, "window", "there is no window 'x' any more"),
    ("graph", {"kinds": "pipes"}, 400, "kinds", "did you mean 'pipe add'"),
    ("graph", {"name": "x"}, 404, "name", "no graph 'x' was recorded"),
    ("machine", {}, 400, "machine", "machine is missing"),
    ("machine", {"machine": "dor"}, 404, "machine", "did you mean 'door'?"),
    ("machine", {"machine": "door", "owner": "bob"}, 404, "owner", "no machine 'door' of 'bob'"),
    ("machine", {"machine": "door", "at": "2000-01-01"}, 404, "at", "was not known yet at 2000-01-01T00:00:00Z"),
    ("log", {"state": "Opn"}, 400, "state", "did you mean 'Open' or 'On'?"),
    ("log", {"order": "up"}, 400, "order", "is none of newest, oldest"),
    ("log", {"after": "1; DROP TABLE transition"}, 400, "after", "is not where a page ended"),
    ("log", {"since": "now", "until": "2000-01-01"}, 400, "since", "is after until"),
    ("intervals", {"machine": "door", "states": "Open,Shut"}, 400, "states", "door has no state 'Shut'"),
    ("step", {"by": "change"}, 400, "state", "by=change needs a state"),
    ("step", {"machine": "door", "at": "@999"}, 400, "at", "door has not been at @999"),
    ("diff", {}, 400, "t1", "t1 is missing"),
    ("density", {"buckets": "100000"}, 400, "buckets", "give at most 2000"),
    ("density", {"state": "Open"}, 400, "state", "give machine, too"),
]


@pytest.mark.parametrize(("path", "asked", "status", "parameter", "told"), WRONG)
async def test_a_wrong_question_is_told_with_what_would_work(
    house: Asker, path: str, asked: dict[str, str], status: int, parameter: str, told: str
) -> None:
    found = await house.wrong(path, **asked)
    assert found[0] == status
    assert found[2] == parameter
    assert told in found[1]


async def test_a_parameter_twice_or_with_a_null_in_it_is_refused(house: Asker) -> None:
    for query, told in (
        ("at=now&at=now", "is given twice"),
        ("owner=%00", "has a null"),
        (f"tag={'x' * 5000}", "5000"),
    ):
        response = await house.send(f"/api/network?{query}")
        assert (response.status_code, told in response.text) == (400, True)


NASTY = (
    "'; DROP TABLE machine; --",
    '" OR 1=1 --',
    "%27%20OR%201",
    "../../etc/passwd",
    "\ud7ff￿",
    "alice/door' --",
    "*",
    "%",
)


@pytest.mark.parametrize("path", [*paths()])
async def test_names_are_never_sql(house: Asker, path: str) -> None:
    """Whatever is put where a name goes is a name, and one that is not known."""
    kinds = {question.path: question.asked for question in QUESTIONS}
    fields = {field.name for field in msgspec.structs.fields(kinds[path])} if path in kinds else {"window"}
    before = await house.get("network")
    for text in NASTY:
        for name in fields:
            asked = {"t1": "now", "machine": "door"} | {name: text}
            response = await house.send(f"/api/{path}", params={n: v for n, v in asked.items() if n in fields})
            assert response.status_code in (200, 400, 404), response.text
            assert response.status_code != 200 or name == "tag", (name, text, response.text)
    assert await house.get("network") == before


async def test_nothing_but_the_page_is_served(house: Asker) -> None:
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..\\app.py",
        "/app.py",
        "/api/nowhere",
        "/static/js/",
    ):
        response = await house.send(path)
        assert response.status_code == 404, path
        assert "see /openapi.json" in response.json()["error"]
    assert (await house.send("/api/info", "DELETE")).status_code == 405
    assert (await house.send("/")).status_code == 200


async def test_a_browser_is_told_to_run_nothing_of_others(house: Asker) -> None:
    for path in ("/", "/api/info", "/nowhere", "/openapi.json"):
        headers = (await house.send(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert path == "/" or headers["cache-control"] == "no-store"
