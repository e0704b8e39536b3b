"""What every test run shares: one seed, printed first.

The seed is fixed, so that a red run stays red on the next machine; AM_SEED gives another one.
Hypothesis draws from it, trio's scheduler and the module `random` start each test with it, and a
test that wants numbers of its own asks for the `seed` fixture.
"""

import os
import random

import hypothesis
import pytest
from trio._core import _run as trio_run  # no public way to its random order of tasks

#: The day on which the flights of the data set begin; any number would do.
DEFAULT_SEED = 20130207

# print_blob: a failure on a machine we cannot reach is reproduced from its log alone.
# deadline: time on a shared machine says nothing about a property.
hypothesis.settings.register_profile("house", print_blob=True, deadline=None)
# No database in CI: nothing there outlives the run.
hypothesis.settings.register_profile("ci", print_blob=True, deadline=None, database=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose profile and seed before the plugin of Hypothesis reads them."""
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "house")
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = os.environ.get("AM_SEED", str(DEFAULT_SEED))


def pytest_report_header(config: pytest.Config) -> str:
    """Name the seed, and say how to have another."""
    return f"seed: {config.getoption('--hypothesis-seed')} (AM_SEED=<n> for another)"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start each test from the seed, whatever ran before it."""
    seed = int(item.config.getoption("--hypothesis-seed"))
    random.seed(seed)
    # pytest-trio lets trio order its tasks before it shuffles them; with the seed that is one order.
    trio_run._r.seed(seed)


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the seed of this run, for `random.Random(seed)`."""
    return int(pytestconfig.getoption("--hypothesis-seed"))
