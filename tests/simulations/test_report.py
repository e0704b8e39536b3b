"""Reports: everything in one file, nothing from a network, nothing that a scenario could smuggle in."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from simulations.errors import SetupError
from simulations.outcome import Curve, Engine, Measure, Outcome, Plane
from simulations.report import outcomes_in, report, report_json
from simulations.report_groups import axis, grouped
from simulations.report_tables import number
from tests import chromium

FAULT = {"kind": "partition", "at": 1.0, "lasts": 2.0}


def outcome(seed: int = 1, latency: float | None = 20.0, **scenario: Any) -> Outcome:
    return Outcome(
        scenario={"name": "Toy", "question": "Does it work?", "peers": 4, "faults": [FAULT], **scenario},
        seed=seed,
        commit="0123456789abcdef",
        trace=f"trace{seed}",
        engine=Engine(events=1_000, cpu_s=0.5, memory_mb=80, simulated_s=3),
        measures={
            "latency_p50": Measure(value=latency, unit="ms", bound=10.0, better="lower", about="half of all"),
            "coverage": Measure(value=100.0, unit="%", bound=100.0, better="higher", about="have it"),
            "own": Measure(value=3, about="of a kind that is in no section"),
        },
        curves={
            "coverage": Curve(x=[1.0, 2.0, 3.0], y=[0.0, 50.0 + seed, 100.0], x_unit="ms", bound=[0.0, 100.0, 100.0]),
            "missing_updates": Curve(x=[0.1, 0.2], y=[4.0, 0.0]),
        },
        planes={"link": Plane(frames=3, bytes=300), "topic": Plane(frames=0, bytes=0)},
    )


SWEEP = [outcome(seed, 20.0 * loss + seed, network={"loss": loss}) for loss in (1, 2, 3) for seed in (1, 2)]


class Well(HTMLParser):
    """Sees that elements are closed in their order, and which attributes point elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Well:
    well = Well()
    well.feed(page)
    assert well.open == []
    return well


@pytest.mark.parametrize("outcomes", [[outcome()], [outcome(1), outcome(2, 30.0)], SWEEP])
def test_a_report_is_well_formed_and_asks_nobody_for_anything(outcomes: list[Outcome]) -> None:
    page = report(outcomes)
    assert parsed(page).links == []
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "MIT License" in page  # of uPlot


def test_a_report_of_a_run_names_it_and_shows_each_measure_beside_its_bound() -> None:
    page = report([outcome()])
    for said in ("<h1>Toy</h1>", "Does it work?", "seed 1", "4 peers", "commit 0123456789ab", "trace trace1"):
        assert said in page
    assert re.search(r"latency p50</th><td>20 ms</td><td>10 ms</td><td>2 &times;</td><td class=text>half of all", page)
    assert re.search(r"<th scope=row>own</th><td>3</td>", page)
    assert re.search(r"link</th><td>3</td><td>300 B</td><td>100 %", page)
    assert "topic</th>" not in page
    assert "network" not in page.split("<h2>Scenario")[0].split("</style>")[1]


def test_several_seeds_have_a_mean_with_an_interval() -> None:
    page = report([outcome(1, 20.0), outcome(2, 30.0)])
    assert re.search(r"latency p50</th><td>25 ms</td><td>64</td>", page)  # 12.706 x 7.07 / sqrt(2)
    assert "interval of Student" in page


def test_a_sweep_is_told_side_by_side_and_drawn_over_its_key() -> None:
    page = report(SWEEP)
    assert "Over network.loss" in page
    assert page.count("<tr><th scope=row>") >= 3
    drawn = json.loads(re.findall(r'id="drawn">(.*?)</script>', page)[0])
    assert drawn["sweep"]["key"] == "network.loss"
    (line,) = drawn["sweep"]["measures"][0]["series"]
    assert (line["x"], line["mean"], line["bound"]) == ([1, 2, 3], [21.5, 41.5, 61.5], [10, 10, 10])
    assert drawn["faults"] == [FAULT]
    assert [each["label"] for each in drawn["curves"]["coverage"]] == [f"network.loss = {at}" for at in (1, 2, 3)]


def test_what_a_scenario_or_a_checker_says_cannot_leave_its_place() -> None:
    evil = "</script><script>alert(1)</script><b onclick=x>"
    page = report(
        [Outcome(scenario={"name": evil, "question": evil, "key": evil}, seed=1, violations=[evil], notes=[evil])]
    )
    parsed(page)
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)") + page.count("\\u003cscript>alert(1)")


def test_violations_and_notes_are_told_first() -> None:
    page = report([Outcome(scenario={}, seed=9, violations=["peer 1 went back"], notes=["mind this"])])
    assert "Promises that were broken</h2><ul><li>seed 9: peer 1 went back" in page
    assert "mind this" in page


def test_a_report_gives_back_the_outcomes_that_it_was_made_of() -> None:
    assert outcomes_in(report(SWEEP)) == SWEEP
    with pytest.raises(SetupError, match=r"a\.html is no report"):
        outcomes_in("<html>", source="a.html")


def test_the_json_of_a_report_has_means_intervals_and_bounds() -> None:
    told = json.loads(report_json([outcome(1, 20.0), outcome(2, 30.0), outcome(3, None)]))
    measure = told["groups"][0]["measures"]["latency_p50"]
    assert (measure["mean"], measure["runs"], measure["bound"], measure["better"]) == (25, 2, 10, "lower")
    assert round(measure["high"] - measure["mean"], 2) == 63.53


def test_a_seed_with_two_results_and_no_outcomes_at_all_are_refused() -> None:
    with pytest.raises(SetupError, match="seed 1 of Toy is there twice"):
        report([outcome(1, 20.0), outcome(1, 21.0)])
    with pytest.raises(SetupError, match="there are no outcomes"):
        report([])


def test_the_same_run_twice_counts_once() -> None:
    assert len(grouped([outcome(), outcome()])[0].outcomes) == 1


def test_the_axis_of_a_sweep_is_the_number_that_has_most_values() -> None:
    both = [outcome(1, 1.0, a=a, b=b, on=on) for a in (1, 2) for b in (1, 2, 3) for on in (True, False)]
    assert axis(grouped(both)) == "b"
    assert axis(grouped([outcome(1, 1.0, on=on) for on in (True, False)])) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0"), (12345.6, "12,346"), (123.456, "123.5"), (2.0, "2"), (0.00012, "1.2e-04"), (0.05, "0.05")],
)
def test_numbers_have_as_many_digits_as_people_read(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.skipif(not chromium.is_there(), reason=chromium.MISSING)
@pytest.mark.parametrize("outcomes", [[outcome(1), outcome(2, 30.0)], SWEEP], ids=["seeds", "sweep"])
def test_a_browser_draws_the_figures(tmp_path: Path, outcomes: list[Outcome]) -> None:
    (tmp_path / "page.html").write_text(report(outcomes), encoding="utf-8")
    flags = [*chromium.FLAGS, "--disable-dev-shm-usage", "--enable-logging=stderr"]
    where = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run(
        [chromium.PATH, *flags, *where, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 'data-ready="yes"' in done.stdout, done.stderr
    assert done.stdout.count("<canvas") >= 2
    assert "CONSOLE" not in done.stderr
