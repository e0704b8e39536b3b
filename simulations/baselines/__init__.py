"""Stored outcomes that later runs are held to; see the README.md beside this."""
