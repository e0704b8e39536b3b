"""The routes: from a request to a question, in a thread, and back. What answers it is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from asyncmachine.web import answers, asked, files
from asyncmachine.web.asked import WrongError
from asyncmachine.web.feed import Hub
from asyncmachine.web.guard import Guard, is_loopback
from asyncmachine.web.live import Looking
from asyncmachine.web.network import info
from asyncmachine.web.openapi import document
from asyncmachine.web.questions import QUESTIONS, Question
from asyncmachine.web.source import Source
from asyncmachine.web.stream import Stream
from asyncmachine.web.windows import LARGEST, Windows, export, open_window
from graph.errors import BeyondHorizonError, GraphError
from history import HistoryError, HorizonError, QuestionError, UnknownMachineError

STATIC: Final = Path(__file__).parent / "static"
THREADS: Final = 4  # questions at a time: whoever serves this has work to do, too
FEED: Final = 2000  # records that may wait for a client
LIMITS: Final = answers.Limits(feed=FEED, page=asked.PAGE, window=200_000)
MEDIA: Final = {"json": "application/json", "sqlite": "application/vnd.sqlite3"}

T = TypeVar("T")


class Page:
    """What answers the page's requests.

    Args:
        source: what is asked.
        token: that is asked for; None: the page is on loopback, and asks for none.
        live: the peer that serves it; None: it is of a stored history.

    Attributes:
        asgi: to be served.
        hub: who listens to what is new.
    """

    def __init__(self, source: Source, *, token: str | None = None, live: Looking | None = None) -> None:
        self.source = source
        self._token = token
        self._live = live
        self._threads = trio.CapacityLimiter(THREADS)
        self._opening = trio.CapacityLimiter(1)  # files are large
        self._windows = Windows()
        self._info = Question("info", asked.AskInfo, answers.Info, self._tell_info)
        self._export = Question("export", asked.AskExport, answers.Answer, _no_answer)
        self._first_id = -1
        self.hub = Hub(source, self.in_thread, room=FEED)
        self._files = files.Files(STATIC)
        routes = [
            Route(f"/api/{question.path}", partial(self._answer, question), methods=["GET"])
            for question in (self._info, *QUESTIONS)
        ]
        routes += [
            Route("/api/health", self._health, methods=["GET"]),
            Route("/api/export", self._give_file, methods=["GET"]),
            Route("/api/open", self._take_file, methods=["POST"]),
            Route("/api/feed", self._feed, methods=["GET"]),
            Route("/openapi.json", self._describe, methods=["GET"]),
            Route("/", self._index, methods=["GET"]),
            Route("/static/{path:path}", self._file, methods=["GET"]),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
        self.asgi = Guard(app, token=token)

    async def run(self) -> None:
        """Tell what is new to whoever listens, for ever."""
        await self.hub.run()

    def close(self) -> None:
        """End all feeds, so that no answer is under way that would go on."""
        self.hub.close()

    async def in_thread(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a question where it holds nobody up."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._threads)

    # -- questions

    async def _answer(self, question: Question, request: Request) -> Response:
        return await self._told(self._ask(question, request))

    async def _ask(self, question: Question, request: Request) -> Response:
        ask = asked.read(question.asked, request.query_params.multi_items())
        source, is_far = await self._source(ask), _is_far(request)

        def answer() -> tuple[bytes, bool]:
            body = msgspec.json.encode(question.function(source, ask))
            return (files.pack(body), True) if is_far and len(body) > files.SMALL else (body, False)

        body, is_packed = await self.in_thread(answer)
        response = as_json(body)
        if is_packed:
            response.headers.update({"content-encoding": "gzip", "vary": "accept-encoding"})
        return response

    async def _told(self, answering: Any) -> Response:
        """Return an answer, or what is wrong with the question."""
        try:
            response = await answering
            assert isinstance(response, Response)
            return response
        except WrongError as error:
            return wrong(str(error), error.parameter, error.status)
        except (HorizonError, BeyondHorizonError) as error:
            return wrong(str(error), "at", 410)
        except UnknownMachineError as error:
            return wrong(str(error), "machine", 404)
        except (QuestionError, LookupError) as error:
            return wrong(str(error))
        except (HistoryError, GraphError) as error:
            return wrong(str(error), None, 503)
        except ClientDisconnect:
            return wrong("nobody is there any more")

    async def _source(self, ask: asked.Ask) -> Source:
        """Return what is asked: a window that was opened, or what this page is of, with what its peer knows."""
        if ask.window is not None:
            return self._windows.get(ask.window)
        if self._live is None:
            return self.source
        await self._live.refresh()
        machine = ask.machine if isinstance(ask, asked.AskMachine) else None
        owner = ask.owner if isinstance(ask, asked.AskMachine) else None
        return self.source.beside(self._live.look() if machine is None else self._live.look_at(machine, owner))

    def _tell_info(self, source: Source, ask: asked.AskInfo) -> answers.Info:
        last = source.store.last_id()
        if self._first_id < 0:
            self._first_id = last
        # a stored history is live if somebody else is writing to it
        is_live = source.mode == "peer" or (source is self.source and last > self._first_id)
        return info(source, ask, limits=LIMITS, token=self._token is not None, live=is_live)

    # -- files

    async def _give_file(self, request: Request) -> Response:
        return await self._told(self._make_file(request))

    async def _make_file(self, request: Request) -> Response:
        ask = asked.read(asked.AskExport, request.query_params.multi_items())
        source = await self._source(ask)
        body = await trio.to_thread.run_sync(export, source, ask, limiter=self._opening)
        end = "json" if ask.format == "json" else "db"
        headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="window.{end}"'}
        return Response(body, 200, headers, MEDIA[ask.format])

    async def _take_file(self, request: Request) -> Response:
        return await self._told(self._open_file(request))

    async def _open_file(self, request: Request) -> Response:
        asked.read(asked.Ask, request.query_params.multi_items())
        parts, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST:
                raise WrongError(f"the file has more than {LARGEST // 2**20} MiB: export a shorter window", status=413)
            parts.append(chunk)
        if not size:
            raise WrongError("there is no file: send one that /api/export gave as the body of the request")
        source = await trio.to_thread.run_sync(open_window, b"".join(parts), "window", limiter=self._opening)
        return as_json(msgspec.json.encode(answers.Opened(window=self._windows.add(source))))

    # -- the rest

    async def _feed(self, request: Request) -> Any:
        return await self._told(self._listen(request))

    async def _listen(self, request: Request) -> Response:
        ask = asked.read(asked.AskFeed, request.query_params.multi_items())
        if ask.window is not None:
            raise WrongError("a window does not change: there is no feed of it", "window")
        since = None if ask.since is None else await self.in_thread(self.source.moment, ask.since, "since")
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None
        if self.hub.is_full:
            raise WrongError(f"{self.hub.clients} pages follow already: close one, or try again later", status=429)
        client = await self.hub.join(since, after)
        return _Streamed(Stream(self.hub, client))

    async def _health(self, request: Request) -> Response:
        return as_json(msgspec.json.encode(answers.Health(ok=True)))

    async def _describe(self, request: Request) -> Response:
        return as_json(document())

    async def _index(self, request: Request) -> Response:
        read = await self.in_thread(self._files.read)
        return files.answer(read.index(), request.headers)

    async def _file(self, request: Request) -> Response:
        read = self._files if self._files.version else await self.in_thread(self._files.read)
        found = read.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404)
        return files.answer(found[0], request.headers, is_fixed=found[1])


class _Streamed(Response):
    """A response that is told by something else."""

    def __init__(self, stream: Stream) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = []
        self.body = b""
        self._stream = stream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._stream(scope, receive, send)


def _is_far(request: Request) -> bool:
    """Tell whether an answer should be compressed: on this computer it is there sooner as it is."""
    host = request.client.host if request.client is not None else "localhost"
    return not is_loopback(host) and files.takes_gzip(request.headers)


def _no_answer(source: Source, ask: asked.Ask) -> answers.Answer:
    raise AssertionError("a file is no answer of this kind")


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {
        404: f"there is nothing at {request.url.path[:80]!r}: see /openapi.json for what there is",
        405: f"{request.method} is not for {request.url.path[:80]!r}: see /openapi.json for what is",
    }
    response = wrong(told.get(error.status_code, str(error.detail)), None, error.status_code)
    for name, value in Headers(error.headers or {}).items():
        response.headers[name] = value
    return response


def as_json(body: bytes, status: int = 200) -> Response:
    """Return an answer that is not kept anywhere."""
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def wrong(text: str, parameter: str | None = None, status: int = 400) -> Response:
    """Return what is wrong with a question."""
    return as_json(msgspec.json.encode(answers.Wrong(error=text, parameter=parameter)), status)
