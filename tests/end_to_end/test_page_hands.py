"""What hands and ears meet on the page: finding by keyboard, two pictures that move as one, and what is read out."""

# ruff: noqa: F811, F401

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

import asyncmachine as am
from asyncmachine.flights.data import HOUR
from asyncmachine.flights.report import MOMENT
from tests.end_to_end.test_page import (
    AT,
    ask,
    browser,
    go_to,
    keep,
    number,
    opened,
    page,
    ready,
    shown_at,
    site,
    url,
)
from tests.end_to_end.test_page_again import until

EARLIER = "2013-02-08T23:30Z"


# -- find


def chosen(page: Page) -> tuple[str, str]:
    """Return the kind and the name of what Enter would take."""
    id = page.get_attribute("#search", "aria-activedescendant")
    row = page.locator(f"#{id}")
    assert row.get_attribute("aria-selected") == "true"
    return row.get_attribute("data-kind") or "", row.locator("span").first.text_content() or ""


def search(page: Page, text: str, kind: str, name: str) -> None:
    """Find it with the keyboard alone."""
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.wait_for_selector("#found:not([hidden])")
    for _ in range(20):
        if chosen(page) == (kind, name):
            page.keyboard.press("Enter")
            expect(page.locator("#found")).to_be_hidden()
            assert page.evaluate("document.activeElement.id") == "graph"
            return
        page.keyboard.press("ArrowDown")
    raise AssertionError(f"{kind} {name} is not among what was found for {text!r}")


def test_a_peer_is_found_and_fills_the_picture(page: Page) -> None:
    search(page, "jf", "peer", "JFK")
    inside = """() => {
        const { view } = window.asyncmachine, { x1, y1, x2, y2 } = view.cy.extent();
        const box = view.arrangement.boxes.find(({ owner }) => owner === "JFK");
        return x1 <= box.x && y1 <= box.y && x2 >= box.x + box.w && y2 >= box.y + box.h
            && (box.w > (x2 - x1) * 0.7 || box.h > (y2 - y1) * 0.7);
    }"""
    until(page, f"({inside})()")
    expect(page.locator("#told")).to_contain_text("JFK: ")
    page.keyboard.press("Enter")  # its first machine is where the keyboard is now
    page.wait_for_selector("#panel .state")
    page.wait_for_url(lambda address: "m=JFK/" in address)


def test_a_peer_is_found_that_a_filter_hides(page: Page) -> None:
    page.select_option("#filter-owner", "EWR")
    search(page, "LGA", "peer", "LGA")
    expect(page.locator("#filter-owner")).to_have_value("")


def test_a_state_is_found_and_colours_the_network(page: Page, ask: am.Questions) -> None:
    go_to(page, AT)
    search(page, "cancell", "state", "Cancelled")
    expect(page.locator("#picks li").first).to_have_attribute("data-state", "Cancelled")
    assert number(page, "#count-active") == len(ask.network(MOMENT).active("Cancelled"))


def test_a_tag_is_found_and_narrows_the_network_down(page: Page, ask: am.Questions) -> None:
    go_to(page, AT)
    search(page, "carrier:b6", "tag", "carrier:B6")
    expect(page.locator("#filter-tag")).to_have_value("carrier:B6")
    tagged = {(one.owner, one.name) for one in ask.machines() if "carrier:B6" in one.tags}
    there = [one for one in ask.network(MOMENT).values() if (one.owner, one.machine) in tagged]
    assert number(page, "#count-machines") == len(there) > 10


def test_what_is_not_there_is_not_found(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    expect(page.locator("#found")).to_have_text("Nothing has this in its name")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""
    assert page.evaluate("document.activeElement.id") == "graph"


def test_what_is_found_fits_on_a_small_screen(browser: Browser, site: str) -> None:
    with opened(browser, site, f"#at={AT}", viewport={"width": 400, "height": 800}) as page:
        page.keyboard.press("/")
        page.keyboard.type("jf")
        page.wait_for_selector("#found:not([hidden])")
        box = page.locator("#found").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


# -- two pictures


@pytest.fixture
def pair(browser: Browser, site: str) -> Iterator[Page]:
    with opened(browser, site, f"#at={AT}&diff={EARLIER}&s=Cancelled,Scheduled") as page:
        page.wait_for_selector("#diff")
        until(page, "window.asyncmachine.diff.network.size > 0")
        yield page


def view(page: Page) -> tuple[float, float, float]:
    """Return zoom and pan, of which there is one for both."""
    return tuple(page.evaluate("(({ cy }) => [cy.zoom(), cy.pan().x, cy.pan().y])(window.asyncmachine.view)"))


def corner(page: Page, picture: str) -> tuple[float, float]:
    box = page.locator(picture).bounding_box()
    assert box is not None
    return box["x"], box["y"]


def spot(page: Page, key: str) -> tuple[float, float]:
    """Return where a machine is in a picture."""
    x, y = page.evaluate(
        """key => {
            const { arrangement, cy } = window.asyncmachine.view, { box, index } = arrangement.places.get(key);
            const { columns, tile, head } = box, [zoom, pan] = [cy.zoom(), cy.pan()];
            const x = box.x + 12 + (index % columns) * (tile.w + tile.gap) + tile.w / 2;
            const y = box.y + head + Math.floor(index / columns) * (tile.h + tile.gap) + tile.h / 2;
            return [x * zoom + pan.x, y * zoom + pan.y];
        }""",
        key,
    )
    return x, y


def pixels(page: Page, picture: str, key: str) -> list[int]:
    """Return the colour in the middle of a machine, as it is painted there."""
    x, y = spot(page, key)
    return list(
        page.evaluate(
            """([canvas, x, y]) => new Promise((resolve) => requestAnimationFrame(() => {
                const one = document.querySelector(canvas), ratio = one.width / one.clientWidth;
                resolve([...one.getContext("2d").getImageData(x * ratio, y * ratio, 1, 1).data]);
            }))""",
            [picture, x, y],
        )
    )


LEFT, RIGHT = "#before", "#graph"


def test_both_pictures_are_turned_and_dragged_as_one(pair: Page) -> None:
    for hand, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        (x, y), (away, up) = corner(pair, hand), corner(pair, other)
        assert (away, up) != (x, y)
        zoom, left, top = view(pair)
        pair.mouse.move(x + 150, y + 200)
        pair.mouse.wheel(0, -240)
        until(pair, f"window.asyncmachine.view.cy.zoom() !== {zoom}")
        turned, new_left, new_top = view(pair)
        assert turned > zoom
        # what is under the hand stays there
        assert (150 - new_left) / turned == pytest.approx((150 - left) / zoom, abs=0.5)
        assert (200 - new_top) / turned == pytest.approx((200 - top) / zoom, abs=0.5)
        pair.mouse.down()
        pair.mouse.move(x + 190, y + 170, steps=4)
        pair.mouse.up()
        until(pair, f"Math.abs(window.asyncmachine.view.cy.pan().x - {new_left}) > 30")
        assert view(pair) == pytest.approx((turned, new_left + 40, new_top - 30), abs=1.5)
    assert pair.evaluate("window.asyncmachine.store.value.machine") is None  # a drag is no click


def test_one_turn_of_the_wheel_is_as_far_in_both_pictures(pair: Page) -> None:
    found = []
    for hand in (RIGHT, LEFT, RIGHT, LEFT):
        pair.mouse.move(*(at + 100 for at in corner(pair, hand)))
        zoom = view(pair)[0]
        pair.mouse.wheel(0, -50)
        until(pair, f"window.asyncmachine.view.cy.zoom() !== {zoom}")
        found.append(view(pair)[0] / zoom)
    assert found[2:] == pytest.approx([found[2]] * 2)


def test_each_picture_has_the_colours_of_its_own_moment(pair: Page, ask: am.Questions) -> None:
    before, now = ask.network(MOMENT - 5 * HOUR // 2), ask.network(MOMENT)
    cancelled = {(m.owner, m.machine) for m in now.values() if "Cancelled" in m.active}
    scheduled = {
        (m.owner, m.machine) for m in before.values() if "Scheduled" in m.active and "Cancelled" not in m.active
    }
    owner, name = min(cancelled & scheduled)
    key = f"{owner}/{name}"
    until(pair, f"[0, 1].includes(window.asyncmachine.diff.looks.get({json.dumps(key)})?.fill)")
    looks = pair.evaluate(
        "key => [window.asyncmachine.diff.looks.get(key).fill, window.asyncmachine.view.looks.get(key).fill]", key
    )
    assert looks == [1, 0]
    assert pixels(pair, "#before canvas", key) != pixels(pair, "#over", key)
    keep(pair, "compare-pair")


def test_a_machine_is_opened_and_a_box_is_folded_in_the_left_picture(pair: Page) -> None:
    key = pair.evaluate('[...window.asyncmachine.diff.network.keys()].find((key) => key.startsWith("JFK/"))')
    (x, y), (dx, dy) = corner(pair, LEFT), spot(pair, key)
    pair.mouse.move(x + dx, y + dy)
    expect(pair.locator("#before .tip strong")).to_have_text(key.removeprefix("JFK/"))
    state = pair.evaluate("key => window.asyncmachine.diff.network.get(key).active.join(', ')", key)
    expect(pair.locator("#before .tip")).to_contain_text(state)
    pair.mouse.click(x + dx, y + dy)
    expect(pair.locator("#tab-machine h2")).to_have_text(key.removeprefix("JFK/"))
    assert pair.evaluate("window.asyncmachine.view.scene().picked") == key
    head = pair.evaluate(
        """() => {
            const { arrangement, cy } = window.asyncmachine.view, [zoom, pan] = [cy.zoom(), cy.pan()];
            const box = arrangement.boxes.find(({ owner }) => owner === "EWR");
            return [(box.x + box.w / 2) * zoom + pan.x, (box.y + 8) * zoom + pan.y];
        }"""
    )
    pair.mouse.click(*(at + by for at, by in zip(corner(pair, LEFT), head, strict=True)))
    pair.wait_for_url(lambda address: "collapsed=EWR" in address)


def test_edges_of_both_moments_are_drawn(pair: Page) -> None:
    pair.check('#kinds input[data-kind="parent"]')
    until(pair, "window.asyncmachine.diff.edges.length > 100")
    until(pair, "Number(document.getElementById('graph').dataset.edges) > 100")  # it asks for those of its own


def test_what_is_filtered_out_is_not_among_the_differences(pair: Page, ask: am.Questions) -> None:
    every = ask.diff(MOMENT - 5 * HOUR // 2, MOMENT)
    expect(pair.locator("#diff")).to_have_attribute("data-machines", str(len(every)))
    tagged = {(one.owner, one.name) for one in ask.machines() if "carrier:B6" in one.tags}
    some = [one for one in every.values() if (one.after.owner, one.machine) in tagged]
    assert 0 < len(some) < len(every)
    pair.select_option("#filter-tag", "carrier:B6")
    expect(pair.locator("#diff")).to_have_attribute("data-machines", str(len(some)))


def test_two_fingers_zoom_the_left_picture(browser: Browser, site: str) -> None:
    size = {"width": 400, "height": 800}
    with opened(browser, site, f"#at={AT}&diff={EARLIER}&tab=", viewport=size, has_touch=True) as page:
        until(page, "window.asyncmachine.diff.network.size > 0")
        x, y = corner(page, LEFT)
        zoom, left, _ = view(page)
        hand = page.context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            at = [{"x": x + px, "y": y + py, "id": i} for i, (px, py) in enumerate(points)]
            hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        touch("touchStart", (150, 60), (250, 60))
        for by in (10, 20, 30, 40, 50):
            touch("touchMove", (150 - by, 60), (250 + by, 60))
        touch("touchEnd")
        until(page, f"window.asyncmachine.view.cy.zoom() > {zoom}")
        now, new_left, _ = view(page)
        assert now / zoom == pytest.approx(2, rel=0.2)
        assert (200 - new_left) / now == pytest.approx((200 - left) / zoom, rel=0.05)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


# -- what is read out

NAMED = {
    "application", "button", "checkbox", "combobox", "complementary", "dialog", "figure", "group", "img", "link",
    "listbox", "navigation", "option", "region", "search", "searchbox", "slider", "tab", "table", "tabpanel", "textbox",
}  # fmt: skip


def tree(cdp: CDPSession) -> list[dict[str, Any]]:
    """Return what a screen reader gets: all nodes that it does not leave out."""
    nodes = cdp.send("Accessibility.getFullAXTree")["nodes"]
    return [node for node in nodes if not node.get("ignored")]


def role(node: dict[str, Any]) -> str:
    return str(node.get("role", {}).get("value", ""))


def name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", "")).strip()


def prop(node: dict[str, Any], wanted: str) -> Any:
    return next((p["value"].get("value") for p in node.get("properties", ()) if p["name"] == wanted), None)


def check_names(cdp: CDPSession) -> list[dict[str, Any]]:
    nodes = tree(cdp)
    nameless = [
        (role(node), node["backendDOMNodeId"])
        for node in nodes
        if (role(node) in NAMED or prop(node, "focusable")) and role(node) != "RootWebArea" and not name(node)
    ]
    assert nameless == []
    return nodes


def test_everything_has_a_role_and_a_name_for_screen_readers(page: Page) -> None:
    cdp = page.context.new_cdp_session(page)
    go_to(page, AT)
    shown_at(page, MOMENT)
    by_role: dict[str, list[str]] = {}
    for node in check_names(cdp):
        by_role.setdefault(role(node), []).append(name(node))
    assert by_role["slider"] == ["Moment"]
    assert by_role["application"] == ["The network: arrow keys go from machine to machine, Enter opens one"]
    assert {"Play", "Previous transition", "Next transition", "Zoom in", "Fit all"} <= set(by_role["button"])
    assert "2013-02-09T02:00:00" in (page.get_attribute("#time-bar", "aria-valuetext") or "")  # the tree here lacks it
    page.keyboard.press("/")
    page.keyboard.type("JFK")
    page.wait_for_selector("#found:not([hidden])")
    nodes = check_names(cdp)
    (box,) = [node for node in nodes if name(node).startswith("Find a machine")]
    assert (prop(box, "expanded"), prop(box, "autocomplete")) == (True, "list")
    options = [node for node in nodes if role(node) == "option"]
    assert len(options) > 3
    assert page.locator('#found [aria-selected="true"]').count() == 1
    assert [name(node) for node in nodes if role(node) == "group" and name(node) in ("Machines", "Peers", "Tags")]
    page.keyboard.press("Enter")
    page.wait_for_selector("#lanes .lane")
    nodes = check_names(cdp)
    tabs = {name(node): prop(node, "selected") for node in nodes if role(node) == "tab"}
    assert tabs == {"Machine": True}
    page.keyboard.press("d")
    page.wait_for_selector("#diff", state="attached")
    check_names(cdp)
    page.keyboard.press("?")
    nodes = check_names(cdp)
    assert [name(node) for node in nodes if role(node) == "dialog"] == ["Keyboard and help"]
    page.keyboard.press("Escape")


def test_a_machine_is_read_out_with_both_of_its_moments(pair: Page) -> None:
    pair.locator("#graph").focus()
    pair.keyboard.press("ArrowRight")
    expect(pair.locator("#told")).to_contain_text("; before: ")
