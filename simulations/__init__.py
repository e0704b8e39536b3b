"""Run whole networks in one process and in virtual time, with faults.

`simulation` puts an experiment together and runs it: nodes (`pubsub.boundary.Node`; `toys` has some), a `topology`, a
`network` of `link`s under `conditions`, a modelled gossipsub `topic`, faults and `checkers`, all from one seed.
`queue`, `connections`, `clocks`, `disk`, `seeds` and `trace` are its parts. It imports no protocol, only its boundary.
"""
