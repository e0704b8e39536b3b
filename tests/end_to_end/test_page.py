"""The page in a real browser, over a part of the replayed blizzard that is recorded here, without a network.

Debian's chromium is driven by playwright, which never downloads one of its own. What the page shows is compared with
what the history answers. Pictures are kept in build/page/.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from playwright.sync_api import Browser, Page, expect

import asyncmachine as am
from asyncmachine.flights.data import HOUR, MINUTE, read_legs
from asyncmachine.flights.replay import AirportReplay, Plan, ReplayClock
from asyncmachine.flights.report import MOMENT
from graph.graph import Graph
from tests import chromium

AM = Path(sys.executable).with_name("am")
ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "page"
AXE = Path(__file__).with_name("axe") / "axe.min.js"
CHECKS = Path(__file__).with_name("page_checks.js")
AT = "2013-02-09T02:00Z"
PATIENCE = 60_000  # ms for anything at all: a bound, not a measure
ODD = 'B"<img src=x onerror=alert(1)>'  # a name that must stay a name


# -- what there is to be seen


class Stage:
    """Records the machines of an airport, each under its name, and shows them to the graph."""

    def __init__(self, history: am.History, graph: Graph, owner: str) -> None:
        self._history, self._graph, self._owner = history, graph, owner
        self._recorders: dict[str, am.Recorder] = {}

    async def enter(self, machine: am.Machine) -> None:
        self._graph.follow(machine)
        self._recorders[machine.id] = self._history.record(machine, owner=self._owner)

    async def come_back(self, machine: am.Machine) -> bool:
        return False

    def leave(self, machine: am.Machine) -> None:
        self._recorders.pop(machine.id).stop()


class Switch(am.Schema):
    On = am.State(remove="Off")
    Off = am.State(remove=On)


def airport_of(reader: am.Reader) -> str:
    return reader.parent_id or (reader.id if len(reader.id) == 3 else reader.tags[0][-3:])


async def record(url: str) -> None:
    """Replay the flights of five hours around the moment; the last two machines have an error, and an odd name."""
    legs = [leg for leg in read_legs() if MOMENT - 3 * HOUR <= leg.scheduled < MOMENT + 2 * HOUR]
    plan = Plan(legs, 10 * MINUTE)
    now = ReplayClock(plan.start)
    async with am.open_history(url, now=now) as history, am.open_graph(history, peer_of=airport_of) as graph:
        airports = [AirportReplay(c, legs, plan, now, Stage(history, graph, c)) for c in ("EWR", "JFK", "LGA")]
        for airport in airports:
            await airport.open()
        broken, odd = am.Machine(Switch, id="broken", tags="x:LGA"), am.Machine(Switch, id=ODD, tags="x:LGA")
        for machine in (broken, odd):
            history.record(machine, owner="LGA")
        broken.add("Exception")
        for _ in range(plan.steps):
            for airport in airports:
                await airport.run_step()
            await history.room()


@contextmanager
def serving(url: str, *options: str) -> Iterator[str]:
    """Run `am web` as a user does; yield where the page is."""
    with running("web", "--history", url, "--address", "127.0.0.1:0", *options) as told:
        yield told["url"].rstrip("/")


@contextmanager
def running(*arguments: str, cwd: Path | None = None) -> Iterator[dict[str, Any]]:
    """Run the command until the block ends; yield what it says when it is ready."""
    with subprocess.Popen([str(AM), *arguments, "--json"], stdout=subprocess.PIPE, text=True, cwd=cwd) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('page') / 'flights.db'}"
    trio.run(record, url)
    return url


@pytest.fixture(scope="module")
def site(url: str) -> Iterator[str]:
    with serving(url) as site:
        yield site


@pytest.fixture(scope="module")
def ask(url: str) -> Iterator[am.Questions]:
    store = am.open_store(url)
    store.open()
    yield am.Questions(store, lambda: MOMENT + 100 * HOUR)
    store.close()


# -- the browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not chromium.is_there():
        if os.environ.get("CI"):
            pytest.fail(chromium.MISSING)
        pytest.skip(chromium.MISSING)
    expect.set_options(timeout=PATIENCE)
    with chromium.launched() as browser:
        yield browser


@contextmanager
def opened(browser: Browser, site: str, view: str = "", **context: Any) -> Iterator[Page]:
    """Open the page; when it is left nothing must have gone wrong in it."""
    context.setdefault("viewport", {"width": 1280, "height": 800})
    with browser.new_context(**context) as fresh:
        page, wrong = fresh.new_page(), []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(f"{site}/{view}")
        ready(page)
        yield page
        assert wrong == []


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with opened(browser, site) as page:
        yield page


def ready(page: Page) -> None:
    """Wait until what is asked for is what is painted."""
    page.wait_for_selector('#graph[data-ready="true"]', state="attached")


def shown_at(page: Page, at: int) -> None:
    """Wait until all on the page is as of a moment."""
    page.wait_for_selector(f'#clock[data-at="{at}"]')
    page.wait_for_selector(f'#graph[data-ready="true"][data-at="{at}"]', state="attached")


def moment_of(page: Page) -> int:
    ready(page)
    return int(page.get_attribute("#clock", "data-at") or 0)


def go_to(page: Page, at: str) -> None:
    """Type a time, and wait until the page is there."""
    page.keyboard.press("t")
    page.fill("#go-time", at)
    page.keyboard.press("Enter")
    page.wait_for_selector("#go", state="hidden")
    ready(page)


def number(page: Page, selector: str) -> int:
    return int((page.text_content(selector) or "").replace(",", ""))


def find(page: Page, name: str) -> None:
    """Search for a machine, and open it."""
    page.keyboard.press("/")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_have_text(name)


def keep(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


# -- what it shows


def check_counts(page: Page, ask: am.Questions, at: int) -> None:
    network = ask.network(at)
    assert number(page, "#count-machines") == len(network)
    assert number(page, "#count-errors") == len(network.active("Exception"))
    picks = page.locator("#picks li")
    assert picks.count() > 0
    for pick in picks.all():
        state = pick.get_attribute("data-state") or ""
        assert number(page, f'#picks li[data-state="{state}"] .count') == len(network.active(state)), state


def test_all_is_as_of_the_moment_to_which_the_bar_is_moved(page: Page, ask: am.Questions) -> None:
    go_to(page, AT)
    shown_at(page, MOMENT)
    page.click("#state-picker")
    page.check('#state-list input[data-state="Cancelled"]')
    page.keyboard.press("Escape")
    check_counts(page, ask, MOMENT)
    assert len(ask.network(MOMENT).active("Cancelled")) > 100
    keep(page, "moment")

    bar = page.locator("#time-bar").bounding_box()
    assert bar is not None
    page.mouse.move(bar["x"] + bar["width"] * 0.6, bar["y"] + 20)
    page.mouse.down()
    for share in (0.55, 0.5, 0.42, 0.4):
        page.mouse.move(bar["x"] + bar["width"] * share, bar["y"] + 20)
    page.mouse.up()
    at = moment_of(page)
    assert at < MOMENT
    shown_at(page, at)
    check_counts(page, ask, at)
    assert am.format_time(at)[:19] in (page.get_attribute("#time-bar", "aria-valuetext") or "")


def test_steps_lead_from_transition_to_transition_and_from_change_to_change(page: Page, ask: am.Questions) -> None:
    go_to(page, AT)
    shown_at(page, MOMENT)
    (first, second, *_) = ask.between(MOMENT, MOMENT + HOUR)
    page.keyboard.press(".")
    shown_at(page, first.at)
    page.keyboard.press(".")
    shown_at(page, second.at)
    page.keyboard.press(",")
    shown_at(page, first.at)
    page.click("#next-minute")
    page.wait_for_selector(f'#clock:not([data-at="{first.at}"])')
    assert 0 < moment_of(page) - first.at <= MINUTE
    go_to(page, AT)
    shown_at(page, MOMENT)
    state = page.get_attribute("#picks li.first", "data-state") or ""
    (change, *_) = ask.between(MOMENT, MOMENT + 24 * HOUR, changed=state)
    page.keyboard.press("n")
    shown_at(page, change.at)


def test_playing_moves_on_and_ends_where_it_is_paused(page: Page) -> None:
    go_to(page, AT)
    page.select_option("#speed", "600")
    page.locator("#graph").focus()
    page.keyboard.press("Space")
    page.wait_for_selector('#play[aria-pressed="true"]')
    page.wait_for_selector(f'#clock:not([data-at="{MOMENT}"])')
    page.keyboard.press("Space")
    page.wait_for_selector('#play[aria-pressed="false"]')
    at = moment_of(page)
    assert at > MOMENT
    shown_at(page, at)


def test_the_panel_of_a_machine_has_its_ticks_of_that_moment(page: Page, ask: am.Questions) -> None:
    go_to(page, AT)
    find(page, "JFK")
    clock = ask.as_of(("JFK", "JFK"), MOMENT).clock
    for state, tick in clock.items():
        row = page.locator(f'#panel .state[data-state="{state}"]')
        assert row.get_attribute("data-tick") == str(tick)
        assert row.get_attribute("data-active") == ("true" if tick % 2 else "false")
    page.wait_for_selector("#lanes .lane")
    lanes = {lane.get_attribute("data-state"): lane for lane in page.locator("#lanes .lane").all()}
    spans = list(ask.intervals(("JFK", "JFK"), "Closed", 0, ask.machines()[0].last_at))
    label = lanes["Closed"].locator("svg").get_attribute("aria-label")
    assert label == f"Closed: active {len(spans)} times"
    assert page.locator("#panel .relations path.arrow").count() > 5
    assert int(page.get_attribute("#graph", "data-edges") or 0) > 5  # pipes of its flights
    keep(page, "machine")


def test_a_cause_is_one_click_away(page: Page, ask: am.Questions) -> None:
    (record, *_) = ask.between(MOMENT - 3 * HOUR, MOMENT, ["JFK"], changed="Cancelling")
    cause = ask.cause(record)
    assert cause is not None
    go_to(page, am.format_time(record.at))
    shown_at(page, record.at)
    find(page, "JFK")
    page.click(f'.causes-part button:has-text("{cause.machine}")')
    expect(page.locator("#panel h2")).to_have_text(cause.machine)
    shown_at(page, cause.at)


def test_two_moments_are_compared_as_the_history_compares_them(page: Page, ask: am.Questions) -> None:
    go_to(page, "2013-02-09T00:00Z")
    page.click("#do-diff")
    go_to(page, AT)
    difference = ask.diff(MOMENT - 2 * HOUR, MOMENT)
    page.wait_for_selector(f'#diff[data-machines="{len(difference)}"]')
    assert page.locator("#before").is_visible()
    keep(page, "compare")
    page.keyboard.press("Escape")
    assert page.locator("#before").is_hidden()


def test_the_log_leads_to_what_happened(page: Page, ask: am.Questions) -> None:
    go_to(page, AT)
    page.keyboard.press("g")
    (newest,) = ask.page(1, t2=MOMENT, newest_first=True).records
    page.wait_for_selector("#log li")
    page.locator("#log li button").first.click()
    shown_at(page, newest.at)
    expect(page.locator("#panel h2")).to_have_text(newest.machine)


# -- how it is used


def test_a_link_shows_the_same_view_again(browser: Browser, site: str, page: Page) -> None:
    go_to(page, AT)
    find(page, "JFK")
    page.click("#panel .state[data-state=Closed] button")
    page.select_option("#filter-owner", "JFK")
    page.click("#span-in")
    page.check('#kinds input[data-kind="parent"]')
    page.click("#zoom-fit")
    page.wait_for_url(re.compile(r"#.*kinds=.*owner=JFK|#.*owner=JFK.*kinds="))
    ready(page)

    def view(one: Page) -> dict[str, Any]:
        ready(one)
        one.wait_for_selector("#panel .state")
        graph = one.locator("#graph")
        return {
            "clock": one.get_attribute("#clock", "data-at"),
            "machines": number(one, "#count-machines"),
            "active": number(one, "#count-active"),
            "picks": one.locator("#picks li").all_text_contents(),
            "edges": graph.get_attribute("data-edges"),
            "nodes": graph.get_attribute("data-nodes"),
            "span": one.text_content("#span-length"),
            "machine": one.text_content("#panel h2"),
        }

    with opened(browser, site, page.url.removeprefix(site).lstrip("/")) as other:
        assert view(other) == view(page)
    assert view(page)["clock"] == str(MOMENT)


def test_a_link_that_makes_no_sense_does_not_break_the_page(browser: Browser, site: str) -> None:
    with opened(browser, site, "#at=yesterdayish&kinds=,,&s=%E0%A4%A&collapsed=!&from=9&nothing") as page:
        assert number(page, "#count-machines") > 0


@pytest.mark.parametrize("kind", ["json", "sqlite"])
def test_a_window_that_was_saved_is_opened_again(page: Page, ask: am.Questions, tmp_path: Path, kind: str) -> None:
    go_to(page, AT)
    page.click("#span-in")
    page.click("#more summary")
    with page.expect_download() as download:
        page.click(f"#do-export-{kind}")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    page.set_input_files("#file", file)
    page.wait_for_url(re.compile("window="))
    ready(page)
    go_to(page, AT)
    shown_at(page, MOMENT)
    check_counts(page, ask, MOMENT)
    page.click("#more summary")
    page.click("#do-close-window")
    page.wait_for_selector("#do-close-window", state="hidden")
    page.wait_for_url(lambda url: "window=" not in url)
    ready(page)


def test_all_can_be_done_by_the_keyboard(page: Page) -> None:
    page.keyboard.press("?")
    assert page.locator("#help dt").count() > 20
    page.keyboard.press("Enter")
    page.locator("#graph").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel .state")
    page.keyboard.press("b")
    before = moment_of(page)
    for key in ("ArrowLeft", "PageDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
        page.wait_for_selector(f'#clock:not([data-at="{before}"])')
        assert moment_of(page) < before
        before = moment_of(page)
    page.keyboard.press("l")
    page.wait_for_selector('#live[aria-pressed="true"]')
    page.keyboard.press("k")
    assert page.get_attribute("html", "data-theme") == "dark"
    page.keyboard.press("c")
    page.wait_for_url(re.compile(r"collapsed="))
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel", state="hidden")
    # Tab goes through what can be used, in order, and gets out of everything.
    seen = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id"))
    for id in ("search", "do-diff", "state-picker", "graph", "play", "clock", "time-bar"):
        assert id in seen, id


def test_a_name_with_markup_in_it_stays_a_name(page: Page) -> None:
    find(page, ODD)
    assert page.locator("#panel img").count() == 0
    assert page.text_content("#panel h2") == ODD


def test_an_error_is_seen_at_a_glance(page: Page) -> None:
    assert number(page, "#count-errors") == 1
    find(page, "broken")
    assert page.locator("#panel .state.fault").get_attribute("data-state") == "Exception"


def test_the_parts_that_know_no_page_keep_their_promises(page: Page) -> None:
    failed, count = page.evaluate(CHECKS.read_text(encoding="utf-8"))
    assert failed == []
    assert count > 15


def test_all_modules_are_asked_for_at_once() -> None:
    """Else each import is found only when the one before is there. What is imported is in the page's head, too."""
    static = ROOT / "asyncmachine" / "web" / "static"
    named = re.findall(r'modulepreload" href="/static/(.*?)"', (static / "index.html").read_text(encoding="utf-8"))
    imported = set()
    for module in (static / "js").glob("*.js"):
        found = re.findall(r'^(?:import|\} from) .*?"(\.[^"]+)";$', module.read_text(encoding="utf-8"), re.MULTILINE)
        imported |= {os.path.normpath(Path("js") / one) for one in found}
    assert sorted(named) == sorted(imported)


def test_what_is_wrong_is_said_in_words(page: Page) -> None:
    page.keyboard.press("t")
    page.fill("#go-time", "tomorrow")
    page.click("#go-yes")
    assert "is no time" in (page.text_content("#go-wrong") or "")
    page.click("#go-cancel")


# -- a program that runs

HOUSE = """
import trio
import asyncmachine as am


class Door(am.Schema):
    Open = am.State(remove="Closed")
    Closed = am.State(remove=Open)


class Light(am.Schema):
    On = am.State(remove="Off")
    Off = am.State(auto=True)


door, light = am.Machine(Door, id="door"), am.Machine(Light, id="light")
am.bind_state(door, "Open", light, "On")
everything = [door, light]


async def wind(peer):
    while True:
        await trio.sleep(0.2)
        door.add("Closed" if door.is_active("Open") else "Open")
"""


def test_what_happens_now_comes_by_itself_and_the_past_stands_still(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "house.py").write_text(HOUSE)
    options = ("--topic", "page", "--history", "house.db", "--web", "127.0.0.1:0")
    with (
        running("peer", "run", "house.py:everything", "house.py:wind", *options, cwd=tmp_path) as told,
        opened(browser, told["web"].rstrip("/"), "#s=Open,On") as page,
    ):
        page.wait_for_selector('#feed-status[data-state="open"]')
        assert page.get_attribute("#clock", "data-at") == "live"
        active = page.locator("#count-active")
        for value in ("1", "0", "1"):  # it opens, closes, opens
            expect(active).to_have_attribute("data-value", value)
        find(page, "door")
        row = page.locator('#panel .state[data-state="Open"]')
        tick = int(row.get_attribute("data-tick") or 0)
        expect(row).not_to_have_attribute("data-tick", str(tick))
        assert int(row.get_attribute("data-tick") or 0) > tick
        expect(page.locator("#graph")).to_have_attribute("data-edges", "2")  # the pipes to the light
        keep(page, "live")
        page.keyboard.press(",")  # into the past
        expect(page.locator("#clock")).not_to_have_attribute("data-at", "live")
        at = moment_of(page)
        expect(page.locator("#feed-status")).to_contain_text("new since")
        assert moment_of(page) == at
        page.keyboard.press("l")
        expect(page.locator("#clock")).to_have_attribute("data-at", "live")
        before = page.get_attribute("#time-bar", "aria-valuetext") or ""
        expect(page.locator("#time-bar")).not_to_have_attribute("aria-valuetext", before)


# -- for whom


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_can_be_read_and_operated(browser: Browser, site: str, scheme: Any, width: int) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, site, f"#at={AT}&s=Cancelled,Parked,Operating", viewport=size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, f"network-{width}-{scheme}")
        check_access(page)
        find(page, "JFK")
        page.wait_for_selector("#lanes .lane")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, f"machine-{width}-{scheme}")
        check_access(page)
        page.click("#do-log")
        page.wait_for_selector("#log li")
        check_access(page)


def check_access(page: Page) -> None:
    """Let axe look for what somebody could not see, hear or reach: WCAG 2.1, A and AA."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    found = page.evaluate("tags => axe.run(document, {runOnly: tags}).then(all => all.violations)", tags)
    told = [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:200]}" for one in found for node in one["nodes"]
    ]
    assert told == []
