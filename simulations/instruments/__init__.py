"""Instruments: what a run is measured by, each number beside what no protocol can be better than.

`board` is the one checker behind all of them: it hands each event to those that asked for its kind. `arrivals` keeps
when each update reached whom, in arrays; `spread`, `traffic`, `members` and `peers` make numbers of what they saw, and
`bounds` says what the network itself allows.
"""

from simulations.instruments.base import Findings, Instrument
from simulations.instruments.board import NAMES, Board, instruments

__all__ = ["NAMES", "Board", "Findings", "Instrument", "instruments"]
