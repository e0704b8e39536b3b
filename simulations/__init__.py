"""Run whole networks in one process and in virtual time, with faults.

`simulation` puts an experiment together and runs it: nodes (`pubsub.boundary.Node`; `toys` has some), a `topology`, a
`network` of `link`s under `conditions`, a modelled gossipsub `topic`, faults and `checkers`, all from one seed.
`queue`, `connections`, `clocks`, `disk`, `seeds` and `trace` are its parts. The engine knows no protocol, only the
boundary of one; `gossip` runs the core of `pubsub` in it, with the checkers of `promises` and `measures`. `trial` draws
such a run from a seed, and `campaign` runs many. `am sim` is the command; `fuzz` throws bytes at the decoders.

`scenario` says all of that in a file (`scenario_file` and its neighbours read and check it; `workload` and `regions`
are of it), `experiment` runs it, measured by `instruments`, to an `outcome`. `sweep` runs many, `shrink` makes what
fails small, `study` and `study_page` answer a question; `report`, `compare` and `recording` are what becomes of
outcomes. `go_rules` and `plain_gossipsub` are other protocols, to compare with.
"""
