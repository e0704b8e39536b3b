"""See machines, states, pipes, peers and links as one multigraph, now and as of a time.

Nothing is here yet. The package is going to hold its own node and edge types
in front of a graph library's algorithms, and exports to GraphML, DOT and
Mermaid.
"""
