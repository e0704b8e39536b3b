"""Measure the page in a real browser, with 50 peers and 1,000 machines: until it is there, and until it has followed.

python benchmarks/page.py [--json]

It needs Debian's chromium. All of it is wall clock, server and browser on this computer, without a graphics card.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import trio
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.harness import RUNS, Report
from benchmarks.web import EACH, PEERS, make

GOAL = 1000.0  # ms
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = '#graph[data-ready="true"]'

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


def load(browser: Browser, url: str) -> float:
    """Open the page with nothing kept from before; return the ms until the network is painted."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(url, wait_until="commit")
        page.wait_for_selector(READY, state="attached")
        return float(
            page.evaluate("async () => { await new Promise(requestAnimationFrame); return performance.now(); }")
        )


def measure(browser: Browser, url: str) -> None:
    """Take medians of several."""
    report = Report(f"The page: {PEERS} peers, {PEERS * EACH:,} machines", f"medians of {2 * RUNS}, wall clock")
    load(browser, url)
    report.add("load, to painted", statistics.median(load(browser, url) for _ in range(2 * RUNS)), "ms", GOAL)
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(READY, state="attached")
        shares = [0.1 + 0.8 * (7 * n % 11) / 11 for n in range(2 * RUNS)]
        ask(page, DRAG, shares[0])
        report.add("bar moved, to painted", statistics.median(ask(page, DRAG, share) for share in shares), "ms", GOAL)
        states = ["Idle", "Failed", "Warm", "Overdue", "Checked"] * 2
        report.add("other state picked, to painted", statistics.median(ask(page, PICK, s) for s in states), "ms", GOAL)
        report.add("painting once", statistics.median(ask(page, REPAINT) for _ in range(RUNS)), "ms")
    report.show()


def ask(page: Page, script: str, argument: object = None) -> float:
    """Run a script that measures."""
    return float(page.evaluate(script, argument))


def main() -> None:
    """Make the history, serve it as `am web` does, and open it."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/page.db"
        trio.run(make, url)
        am = str(Path(sys.executable).with_name("am"))
        command = [am, "web", "--history", url, "--address", "127.0.0.1:0", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
            assert server.stdout is not None
            site = json.loads(server.stdout.readline())["url"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            try:
                measure(browser, site)
            finally:
                browser.close()
                server.terminate()


if __name__ == "__main__":
    main()
