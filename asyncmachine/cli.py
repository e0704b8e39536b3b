"""The command `am`.

Invariants: a subcommand's module is imported when the subcommand runs, and no sooner, so that
`am --help` stays fast whatever the packages behind the commands weigh; the table `_COMMANDS` is the
only list of them.
"""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from asyncmachine import __version__

#: name: (module, attribute, the line that help shows without an import)
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "completion": ("asyncmachine.completion", "completion", "Print what lets bash or zsh complete this command."),
    "demo": (
        "asyncmachine.demo",
        "demo",
        "Replay four days of flights: a peer for each airport, and one that observes.",
    ),
    "doctor": ("asyncmachine.doctor_cli", "doctor", "Check the installation, and what a peer needs."),
    "graph": ("asyncmachine.graph_cli", "graph", "Ask what was connected to what, and export it."),
    "history": ("asyncmachine.history_cli", "history", "Ask what recorded machines were and did, and export it."),
    "key": ("asyncmachine.key_cli", "key", "Make a key file, and show whose it is."),
    "peer": ("asyncmachine.peer_cli", "peer", "Run a peer with your machines, and list those of a network."),
    "sim": ("asyncmachine.sim_cli", "sim", "Run simulated networks, and look for seeds that break them."),
    "watch": ("asyncmachine.watch_cli", "watch", "Follow states of a running network live."),
    "web": ("asyncmachine.web_cli", "web", "Look at a network in a browser, now and at any past moment."),
    "when": ("asyncmachine.when_cli", "when", "Wait until states of a machine are active."),
}


class LateGroup(click.Group):
    """List commands from a table and import one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name of the table, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command; None for a name the table does not have."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the names of the table that begin like this, importing nothing."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [CompletionItem(name, help=_COMMANDS[name][2]) for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines of the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="am")
def main() -> None:
    """Run clock-based state machines, and look at them."""
