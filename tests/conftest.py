"""What every test run shares: one seed, printed first, clocks that wait for threads, and how to run again what failed.

The seed is fixed, so that a red run stays red on the next machine; AM_SEED gives another one.
Hypothesis draws from it, trio's scheduler and the module `random` start each test with it, and a
test that wants numbers of its own asks for the `seed` fixture. `make test` orders sets by it, too.
"""

import math
import os
import random
import shlex
from collections import deque
from collections.abc import Generator

import hypothesis
import pytest
from trio._core import _run as trio_run  # no public way to its random order of tasks
from trio.abc import Clock
from trio.testing import MockClock

from tests.patient_clock import patient_clock

#: The day on which the flights of the data set begin; any number would do.
DEFAULT_SEED = 20130207
#: Tests that wait for a minute, or for many processes of their own: they come first, one after the other in one worker,
#: while the other ones have enough to do.
FIRST = tuple(f"tests/end_to_end/test_{name}.py" for name in ("soak", "partition", "peers", "histories", "demo"))
#: Tests that this process ran last: one that fails may do so because of them.
BEFORE: deque[str] = deque(maxlen=3)

# print_blob: a failure on a machine we cannot reach is reproduced from its log alone.
# deadline, too_slow: time on a shared machine says nothing about a property.
hypothesis.settings.register_profile(
    "house", print_blob=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# No database in CI: nothing there outlives the run.
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("house"), database=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose profile and seed before the plugin of Hypothesis reads them."""
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "house")
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = os.environ.get("AM_SEED", str(DEFAULT_SEED))


def pytest_report_header(config: pytest.Config) -> str:
    """Name the seed, and say how to have another."""
    return f"seed: {config.getoption('--hypothesis-seed')} (AM_SEED=<n> for another); order of sets: {_hash_seed()}"


def _hash_seed() -> str:
    return os.environ.get("PYTHONHASHSEED", "random")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return how many workers `-n auto` is: half of the time a test of real peers or processes waits."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2 * processors, processors + 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes longest come first, so that nothing is left over for one worker in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start each test from the seed, whatever ran before it."""
    seed = int(item.config.getoption("--hypothesis-seed"))
    random.seed(seed)
    # pytest-trio lets trio order its tasks before it shuffles them; with the seed that is one order.
    trio_run._r.seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Refuse a clock that nobody would use: pytest-trio runs a test under one that the test itself asks for."""
    if isinstance(item, pytest.Function):
        asked = item._fixtureinfo.argnames
        lost = [name for name, value in item.funcargs.items() if isinstance(value, Clock) and name not in asked]
        if lost:
            pytest.fail(
                f"{lost[0]} is asked for by a fixture only, so the test would run in real time: ask for it, too"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a test that fails under which circumstances it did."""
    report = yield
    if report.failed:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "the only one")
        load = "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())
        told = f"worker: {worker}; load of the computer: {load}; it ran before: {', '.join(BEFORE) or 'nothing'}"
        report.sections.append(("circumstances", told))
    if report.when == "teardown":
        BEFORE.append(item.nodeid)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to run again what failed, one after the other and in one process."""
    found = [report.nodeid for kind in ("failed", "error") for report in terminalreporter.getreports(kind)]
    if not found:
        return
    terminalreporter.section("to run again what failed")
    environment = f"AM_SEED={config.getoption('--hypothesis-seed')} PYTHONHASHSEED={_hash_seed()}"
    for nodeid in dict.fromkeys(found):
        terminalreporter.line(f"{environment} .venv/bin/python -m pytest {shlex.quote(nodeid)}")


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the seed of this run, for `random.Random(seed)`."""
    return int(pytestconfig.getoption("--hypothesis-seed"))


@pytest.fixture
def mock_clock() -> MockClock:
    """Return a virtual clock that is moved by hand; told to jump, it waits for threads. In place of pytest-trio's."""
    return patient_clock(math.inf)


@pytest.fixture
def autojump_clock() -> MockClock:
    """Return a virtual clock that jumps when all tasks wait and no thread works, in place of pytest-trio's."""
    return patient_clock()
