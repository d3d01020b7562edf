"""The way on to DataJoint: which sessions are complete at the central store, for pipelines that begin there.

`schema` declares two tables, `filling` fills them from the ledger.  Nothing else of the program knows DataJoint; it is
an extra of its own (`scripts/venv datajoint`).
"""
