"""A downloader that retries: tasks that live as long as a state, an error that becomes a state, a clean end.

You learn: `async def` State handlers, `open_machine`, waiting with `when`, how a failing task raises Exception, and
how removing a state cancels its task. The server is played by a function, so nothing leaves this process.

    python examples/downloader.py
"""

import trio

import asyncmachine as am


class Download(am.Schema):
    """One file at a time. An error stops the loading; Waiting follows from it by itself."""

    Exception = am.State(multi=True, remove="Loading")
    Start = am.State()
    Loading = am.State(require=Start, remove="Done")
    Done = am.State(remove=Loading)
    Waiting = am.State(auto=True, require=[Start, Exception])


class Downloader:
    """Fetches, and tries again after a pause."""

    def __init__(self) -> None:
        self.attempts = 0
        self.url = ""

    @Download.Loading.state
    async def load(self, event: am.Event) -> None:
        """Run in the background for as long as Loading stays active. What it raises becomes Exception."""
        self.attempts += 1
        self.url = event.args["url"]
        try:
            body = await fetch(self.url, self.attempts)
        except trio.Cancelled:
            print("  load: cancelled")
            raise
        event.machine.add(Download.Done, body=body)  # the last step: it ends the scope of Loading

    @Download.Waiting.state
    async def wait(self, event: am.Event) -> None:
        """Pause, clear the error, and start over."""
        print(f"  wait: {event.machine.last_error}")
        await trio.sleep(0.01)
        event.machine.remove(Download.Exception)
        event.machine.add(Download.Loading, url=self.url)

    @Download.Done.state
    def done(self, event: am.Event) -> None:
        """See the result, which travels as an argument."""
        print(f"  done: {event.args['body']!r} at attempt {self.attempts}")


async def fetch(url: str, attempt: int) -> str:
    """Play a server that is down twice, and slow for everything large."""
    await trio.sleep(3600 if url.startswith("large") else 0.01)
    if attempt < 3:
        raise ConnectionError("the server is down")
    return f"contents of {url}"


async def main() -> None:
    """Load a small file, give up on a large one, and leave."""
    async with am.open_machine(Download, handlers=Downloader(), id="download") as machine:
        machine.add(Download.Start, Download.Loading, url="small.txt")
        print("waited until", await machine.when(Download.Done))
        machine.add(Download.Loading, url="large.iso")
        await trio.sleep(0.01)
        machine.remove(Download.Start)  # what requires it goes too, and with Loading its task
        print("stopped:", machine.describe())
    print("disposed:", machine.is_disposed)


if __name__ == "__main__":
    trio.run(main)
