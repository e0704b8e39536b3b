"""`am completion`: what a shell evaluates so that it completes the command.

The shell then calls `am` itself for each word, which must be quick: so the names of commands come from the table in
`asyncmachine.cli`, and only the module of the one that stands on the line is imported.
"""

from __future__ import annotations

import click

VARIABLE = "_AM_COMPLETE"  # what click looks at, for a command of this name


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def completion(shell: str) -> None:
    """Print what lets a shell complete `am`.

    \b
    bash  eval "$(am completion bash)"   in ~/.bashrc
    zsh   eval "$(am completion zsh)"    in ~/.zshrc, behind compinit
    """  # noqa: D301 - click takes the backspace itself for "leave these lines as they are"
    from click.shell_completion import ShellComplete, get_completion_class

    from asyncmachine.cli import main

    made = get_completion_class(shell)
    assert made is not None
    # not the `source` of bash's own class: that runs bash to ask for its version, and may not find it
    click.echo(ShellComplete.source(made(main, {}, "am", VARIABLE)))
