"""What follows from the view: questions are sent, installs begun, stale states fetched. Decides nothing."""

from collections.abc import Callable
from contextlib import aclosing

from runtime.core.ids import ModelId
from tui.clock import Clock
from tui.ports import Refused, Source
from tui.state import Exchange, Trouble, ViewState, conversation
from tui.view import ActionFailed, Came, InstallAnswered, Message


class Effects:
    """The calls to the source, each reporting to `dispatch`."""

    def __init__(self, source: Source, clock: Clock, dispatch: Callable[[Message], None]) -> None:
        self._source = source
        self._clock = clock
        self._dispatch = dispatch

    async def answer(self, view: ViewState, exchange: Exchange) -> None:
        """Ask a question and report every piece. Cancelling closes the request, which cancels the run."""
        messages = conversation(view.chat, exchange)
        async with aclosing(self._source.chat(messages, exchange.model)) as pieces:
            async for piece in pieces:
                self._dispatch(Came(id=exchange.id, piece=piece, at=self._clock.monotonic()))

    async def install(self, model: ModelId) -> None:
        """Ask for an install; its progress comes with the events."""
        try:
            answered = await self._source.install(model)
        except Refused as refused:
            self._fail(f"install {model}", refused)
            return

        self._dispatch(InstallAnswered(model=answered))

    async def unload(self, model: ModelId) -> None:
        """Ask to free a model; its end comes with the events."""
        try:
            await self._source.unload(model)
        except Refused as refused:
            self._fail(f"unload {model}", refused)

    def _fail(self, wanted: str, refused: Refused) -> None:
        trouble = Trouble(code=refused.code, message=refused.message)
        self._dispatch(ActionFailed(wanted=wanted, trouble=trouble, at=self._clock.now()))
