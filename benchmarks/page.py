"""Measure the page in a real browser, with 50 peers and 1,000 machines: until it is there, and until it has followed.

python benchmarks/page.py [--json]
python benchmarks/page.py --peers 250     with more of them; 20 machines each

It needs Debian's chromium. Server and browser are on this computer, without a graphics card. What is called work is CPU
time, of the page's own thread or of the server; all else is wall clock. On a busy computer only work can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import trio
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize

from benchmarks.harness import RUNS, Report
from benchmarks.web import EACH, PEERS, make
from tests import chromium

GOAL = 1000.0  # ms
READY = '#graph[data-ready="true"]'
LOADS = 2 * RUNS
SIZE: ViewportSize = {"width": 1280, "height": 800}
AFTER = "async () => { await new Promise(requestAnimationFrame); return performance.now(); }"
#: When what was there, ms since the beginning, and how much of it came.
PARTS = """() => {
  const all = performance.getEntriesByType("resource");
  const last = (wanted) => Math.max(0, ...all.filter(({ name }) => wanted(name)).map((one) => one.responseEnd));
  return {
    "page there": performance.getEntriesByType("navigation")[0].responseEnd,
    "files there": last((name) => name.includes("/static/") && !name.includes("icon")),
    "network there": last((name) => name.includes("/api/network")),
    "graph there": last((name) => name.includes("/api/graph")),
    requests: all.length + 1,
    kB: all.reduce((sum, one) => sum + one.transferSize, 0) / 1000,
  };
}"""

#: Each returns how many ms it took until what was asked for had been painted.
PAINTED = """
const painted = async (begin) => {
  const graph = document.getElementById("graph");
  const began = performance.now();
  const wanted = begin();
  while (graph.dataset.ready !== "true" || (wanted && graph.dataset.at !== wanted)) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  return performance.now() - began;
};
"""
DRAG = (
    "async (share) => {"
    + PAINTED
    + """
  const bar = document.getElementById("time-bar");
  const { left, top, width } = bar.getBoundingClientRect();
  const where = { pointerId: 1, bubbles: true, clientX: left + share * width, clientY: top + 9 };
  const event = (kind) => new PointerEvent(kind, where);
  bar.setPointerCapture = () => {};
  return await painted(() => {
    for (const kind of ["pointerdown", "pointermove", "pointerup"]) bar.dispatchEvent(event(kind));
    return document.getElementById("clock").dataset.at;
  });
}"""
)
PICK = """async (state) => {
  const { store } = window.asyncmachine;
  const began = performance.now();
  store.set({ states: [state] });
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  return performance.now() - began;
}"""
REPAINT = """async () => {
  const { view } = window.asyncmachine;
  const times = [];
  for (let i = 0; i < 20; i += 1) {
    const began = performance.now();
    view.draw();
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[10];
}"""


def load(page: Page, url: str) -> float:
    """Open the page; return the ms until the network is painted with all its edges."""
    page.goto(url, wait_until="commit")
    page.wait_for_selector(READY, state="attached")
    return float(page.evaluate(AFTER))


@contextmanager
def fresh(browser: Browser) -> Iterator[tuple[Page, CDPSession]]:
    """Give a page with nothing kept from before, and what counts its work."""
    with browser.new_context(viewport=SIZE) as context:
        page = context.new_page()
        client = context.new_cdp_session(page)
        client.send("Performance.enable", {"timeDomain": "threadTicks"})
        yield page, client


def worked(client: CDPSession) -> float:
    """Return for how many ms the page's own thread has worked."""
    found = {one["name"]: one["value"] for one in client.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(found["TaskDuration"])


def spent(pid: int) -> float:
    """Return for how many ms a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_load(report: Report, browser: Browser, url: str, pid: int) -> None:
    """Take medians of several loads, and of their parts."""
    with fresh(browser) as (page, _):
        load(page, url)  # the server's first one
    times, work, parts = list[float](), list[float](), list[dict[str, float]]()
    before = spent(pid)
    for _ in range(LOADS):
        with fresh(browser) as (page, client):
            begun = worked(client)
            times.append(load(page, url))
            work.append(worked(client) - begun)
            parts.append(page.evaluate(PARTS))
    report.add("load, to painted", statistics.median(times), "ms", GOAL)
    report.add("the page's work for it", statistics.median(work), "ms")
    report.add("the server's work for it", (spent(pid) - before) / LOADS, "ms")
    for name in parts[0]:
        unit = "" if name == "requests" else "kB" if name == "kB" else "ms"
        report.add(f"  {name}", statistics.median(part[name] for part in parts), unit)
    with fresh(browser) as (page, _):
        load(page, url)
        again = [load(page, f"{url}?{n}") for n in range(LOADS)]
    report.add("load again, to painted", statistics.median(again), "ms", GOAL)


def measure(report: Report, browser: Browser, url: str, pid: int) -> None:
    """Take medians of several."""
    measure_load(report, browser, url, pid)
    with fresh(browser) as (page, client):
        load(page, url)
        shares = [0.1 + 0.8 * (7 * n % 11) / 11 for n in range(LOADS)]
        ask(page, DRAG, shares[0])

        def add(name: str, run: Callable[[], list[float]], goal: float | None) -> None:
            before = worked(client), spent(pid)
            found = run()
            report.add(name, statistics.median(found), "ms", goal)
            report.add("  the page's work for it", (worked(client) - before[0]) / len(found), "ms")
            report.add("  the server's work for it", (spent(pid) - before[1]) / len(found), "ms")

        add("bar moved, to painted", lambda: [ask(page, DRAG, share) for share in shares], GOAL)
        states = ["Idle", "Failed", "Warm", "Overdue", "Checked"] * 2
        add("other state picked, to painted", lambda: [ask(page, PICK, state) for state in states], GOAL)
        report.add("painting once", statistics.median(ask(page, REPAINT) for _ in range(RUNS)), "ms")


def ask(page: Page, script: str, argument: object = None) -> float:
    """Run a script that measures."""
    return float(page.evaluate(script, argument))


@contextmanager
def served(url: str) -> Iterator[tuple[str, int]]:
    """Serve a history as `am web` does; give the page's URL, and the server's process id."""
    am = str(Path(sys.executable).with_name("am"))
    command = [am, "web", "--history", url, "--address", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["url"], server.pid
        finally:
            server.terminate()


def main() -> None:
    """Make the history, serve it, and open it."""
    options = argparse.ArgumentParser(description="The page in a browser.")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--peers", type=int, default=PEERS, help=f"how many, with {EACH} machines each")
    options.add_argument("--history", metavar="FILE", help="one that benchmarks/web.py --make has made")
    given = options.parse_args()
    report = Report(f"The page: {given.peers} peers, {given.peers * EACH:,} machines", f"medians of {LOADS}")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{given.history or f'{folder}/page.db'}"
        if given.history is None:
            trio.run(partial(make, url, peers=given.peers))
        with served(url) as (site, pid), chromium.launched() as browser:
            measure(report, browser, site, pid)
    report.show(json_output=given.json)


if __name__ == "__main__":
    main()
