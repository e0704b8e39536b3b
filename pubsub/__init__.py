"""Carry transitions between machines in different processes, by gossip.

Nothing is here yet. The package is going to hold a pure protocol core
(messages in, messages out), a thin trio shell around it, and
`transport/{memory,libp2p}.py` behind one conformance suite.
"""
