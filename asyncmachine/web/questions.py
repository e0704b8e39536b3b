"""The table of questions: path, parameters, what answers. The routes and the OpenAPI document are made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncmachine.web import answers, asked
from asyncmachine.web.answers import Answer
from asyncmachine.web.asked import Ask
from asyncmachine.web.compare import diff
from asyncmachine.web.edges import graph
from asyncmachine.web.lanes import intervals
from asyncmachine.web.log import density, log
from asyncmachine.web.network import network
from asyncmachine.web.one import machine
from asyncmachine.web.source import Source
from asyncmachine.web.steps import step


@dataclass(frozen=True, slots=True)
class Question:
    """A question that has a path.

    Attributes:
        path: behind ``/api/``.
        asked: its parameters.
        answer: what comes back.
        function: from a source and the parameters to the answer; runs in a thread.
    """

    path: str
    asked: type[Ask]
    answer: type[Answer]
    function: Callable[[Source, Any], Answer]

    @property
    def summary(self) -> str:
        """What it asks, in one line."""
        return (self.asked.__doc__ or "").strip().splitlines()[0]


QUESTIONS: tuple[Question, ...] = (
    Question("network", asked.AskNetwork, answers.NetworkAnswer, network),
    Question("graph", asked.AskGraph, answers.GraphAnswer, graph),
    Question("machine", asked.AskMachine, answers.MachineAnswer, machine),
    Question("log", asked.AskLog, answers.LogAnswer, log),
    Question("intervals", asked.AskIntervals, answers.IntervalsAnswer, intervals),
    Question("step", asked.AskStep, answers.StepAnswer, step),
    Question("diff", asked.AskDiff, answers.DiffAnswer, diff),
    Question("density", asked.AskDensity, answers.DensityAnswer, density),
)
