"""Run whole networks in one process and in virtual time, with faults.

Nothing is here yet. The package is going to hold a discrete-event network, the
faults (partition, heal, hold, release, crash, restart), the checkers, and one
file an experiment: topology + workload + faults + checker + picture.
"""
