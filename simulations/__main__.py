"""Run a scenario from a seed: `python -m simulations --scenario flood --seed 7`. The seed is printed first."""

from __future__ import annotations

import argparse
import sys

from simulations.errors import Violation
from simulations.scenarios import SCENARIOS, run

DEFAULT_SEED = 20130207  # that of the tests


def main(arguments: list[str] | None = None) -> int:
    """Run, print what happened, and return 1 if a checker raised."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description="Run a simulated network.")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="flood")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    options = parser.parse_args(arguments)
    out = sys.stdout.write
    out(f"seed: {options.seed}\nscenario: {options.scenario}: {SCENARIOS[options.scenario].what}\n")
    try:
        simulation, statistics = run(options.scenario, options.seed)
    except Violation as violation:
        out(f"VIOLATION: {violation}\n")
        return 1
    out(f"trace: {simulation.trace_hash()}\n")
    for name in statistics.__dataclass_fields__:
        out(f"{name}: {getattr(statistics, name)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
