"""The routes: from a request to a question, in a thread of its own, and back. Everything else is elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from asyncmachine.web import answers, asked
from asyncmachine.web.asked import WrongError
from asyncmachine.web.network import info
from asyncmachine.web.questions import QUESTIONS, Question
from asyncmachine.web.source import Source
from history import HistoryError, HorizonError, QuestionError, UnknownMachineError

STATIC: Final = Path(__file__).parent / "static"
THREADS: Final = 4  # questions at a time: the peer has work to do, too
LIMITS: Final = answers.Limits(feed=2000, page=asked.PAGE, window=200_000)


class Page:
    """What answers the page's requests.

    Args:
        source: what is asked.
    """

    def __init__(self, source: Source, *, token: str | None = None) -> None:
        self.source = source
        self._token = token
        self._threads = trio.CapacityLimiter(THREADS)
        self._info = Question("info", asked.AskInfo, answers.Info, self._tell_info)
        routes: list[Route | Mount] = [
            Route(f"/api/{question.path}", partial(self._answer, question), methods=["GET"])
            for question in (self._info, *QUESTIONS)
        ]
        routes.append(Route("/api/health", self._health, methods=["GET"]))
        routes.append(Route("/", self._index, methods=["GET"]))
        routes.append(Mount("/static", StaticFiles(directory=STATIC, check_dir=False)))
        self.app = Starlette(routes=routes)

    def _tell_info(self, source: Source, ask: asked.AskInfo) -> answers.Info:
        return info(source, ask, limits=LIMITS, token=self._token is not None, live=source.mode == "peer")

    async def _health(self, request: Request) -> Response:
        return as_json(b'{"ok":true}')

    async def _index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _answer(self, question: Question, request: Request) -> Response:
        try:
            ask = asked.read(question.asked, request.query_params.multi_items())
            return as_json(await self.in_thread(self._ask, question, self._source(ask), ask))
        except WrongError as error:
            return wrong(str(error), error.parameter, error.status)
        except HorizonError as error:
            return wrong(str(error), "at", 410)
        except UnknownMachineError as error:
            return wrong(str(error), "machine", 404)
        except QuestionError as error:
            return wrong(str(error))
        except HistoryError as error:
            return wrong(str(error), None, 503)

    def _ask(self, question: Question, source: Source, ask: asked.Ask) -> bytes:
        return msgspec.json.encode(question.function(source, ask))

    async def in_thread(self, function: Any, *args: Any) -> Any:
        """Run a question where it holds nobody up."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._threads)

    def _source(self, ask: asked.Ask) -> Source:
        if ask.window is None:
            return self.source
        raise WrongError(f"there is no window {ask.window[:80]!r} any more: open the file again", "window", 404)


def as_json(body: bytes, status: int = 200) -> Response:
    """Return an answer that is not kept anywhere."""
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def wrong(text: str, parameter: str | None = None, status: int = 400) -> Response:
    """Return what is wrong with a question."""
    return as_json(msgspec.json.encode(answers.Wrong(error=text, parameter=parameter)), status)
