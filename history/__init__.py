"""Record every transition of a machine and answer questions about its past.

Nothing is here yet. The package is going to hold the SQL schema, the write
path, the questions (`select(gt, lte, limit)`, the state as of a time), and an
in-memory twin of the store behind one conformance suite.
"""
