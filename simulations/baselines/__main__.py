"""Make the baselines anew, and say what changed: `python -m simulations.baselines`."""

from __future__ import annotations

import sys
from pathlib import Path

from simulations.compare import compare, load_outcomes, save_outcomes
from simulations.experiment import Experiment
from simulations.scenario_file import read

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)


def main() -> None:
    """Run each scenario beside this file, and write its outcomes."""
    for file in sorted(HERE.glob("*.toml")):
        scenario, _ = read(file)
        outcomes = [Experiment(scenario, seed=seed).run() for seed in SEEDS]
        stored = file.with_suffix(".json")
        lines = compare(load_outcomes(stored), outcomes).lines() if stored.exists() else ["made for the first time"]
        sys.stdout.write("\n".join((f"{file.stem}: {scenario.question}", *lines, "")))
        save_outcomes(outcomes, stored, curves=False)


if __name__ == "__main__":
    main()
