"""The calls of a conversation with an agent, each reporting to `dispatch`. Decides nothing."""

from collections.abc import Callable
from typing import Any

import anyio

from tui import calls_agents as calls
from tui.agents import RunInfo
from tui.clock import Clock
from tui.ports import ChatFailed, Refused, Source
from tui.state import Aside, Chat, Exchange, Trouble
from tui.talk_agents import AsideRefused, AsideTaken, RunBegun, SessionTold, StopRefused
from tui.view import ActionFailed, Came, Message

_HELD = "conflict"
"""The code of a conversation that another run holds: also for a moment after that one's end."""
_TRIES = 5
_PAUSE_S = 0.2


class TalkEffects:
    """Asks agents in a conversation, says things in between, and stops them."""

    def __init__(self, source: Source, clock: Clock, dispatch: Callable[[Message], None]) -> None:
        self._source = source
        self._clock = clock
        self._dispatch = dispatch

    async def ask(self, chat: Chat, exchange: Exchange) -> None:
        """Ask an agent; what it does comes with its run."""
        try:
            session = await self._tell(chat, exchange)
            run = await self._begin(exchange, session, is_continued=bool(chat.session))
        except Refused as refused:
            failed = ChatFailed(code=refused.code, message=refused.message)
            self._dispatch(Came(id=exchange.id, piece=failed, at=self._clock.monotonic()))
            return
        self._dispatch(RunBegun(exchange=exchange.id, info=run))

    async def _tell(self, chat: Chat, exchange: Exchange) -> str:
        """Let the server's conversation know what models have answered, and begin one where there is none."""
        items = _untold(chat, exchange)
        if not chat.session:
            session = (await self._source.ask(calls.begin_session(items))).id
        else:
            session = chat.session
            if items:
                await self._source.ask(calls.tell_session(session, items))
        self._dispatch(SessionTold(id=session, told=exchange.id))
        return session

    async def _begin(self, exchange: Exchange, session: str, *, is_continued: bool) -> RunInfo:
        call = calls.talk_to_agent(exchange.agent, exchange.question, session)
        for _ in range(_TRIES - 1 if is_continued else 0):
            try:
                return await self._source.ask(call)
            except Refused as refused:
                if refused.code != _HELD:
                    raise
            await anyio.sleep(_PAUSE_S)
        return await self._source.ask(call)

    async def say(self, exchange: Exchange, aside: Aside) -> None:
        """Say something to an agent at work; where it is done already, it is asked next."""
        try:
            await self._source.ask(calls.steer_run(exchange.run.id, aside.text))
        except Refused as refused:
            if refused.code != _HELD:
                self._fail(f"say something to {exchange.agent}", refused)
            self._dispatch(AsideRefused(exchange=exchange.id, aside=aside.id))
            return
        self._dispatch(AsideTaken(exchange=exchange.id, aside=aside.id))

    async def stop(self, exchange: Exchange) -> None:
        """Stop an agent at work; its end comes with its run."""
        try:
            await self._source.ask(calls.cancel_run(exchange.run.id, ""))
        except Refused as refused:
            self._dispatch(StopRefused(exchange=exchange.id))
            self._fail(f"stop {exchange.agent}", refused)

    def _fail(self, wanted: str, refused: Refused) -> None:
        trouble = Trouble(code=refused.code, message=refused.message)
        self._dispatch(ActionFailed(wanted=wanted, trouble=trouble, at=self._clock.now()))


def _untold(chat: Chat, exchange: Exchange) -> list[dict[str, Any]]:
    """Return the newest answers of models that the conversation does not know, as items."""
    items: list[dict[str, Any]] = []
    for each in chat.exchanges:
        is_before = chat.told < each.id < exchange.id
        if is_before and not each.agent and each.answer and each.status in ("done", "stopped"):
            items += [
                {"type": "message", "role": "user", "content": each.question},
                {"type": "message", "role": "assistant", "content": each.answer},
            ]
    return items[-calls.ITEMS_TOLD :]
