"""Open the front door: `import asyncmachine as am`.

`cli.py` is the command `am`, whose subcommands load only when they are called.
The import stays light on purpose: no trio, no database, no network library is
loaded before something needs it.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
