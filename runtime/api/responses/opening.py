"""How a response begins: a request is read, what it names is found, and a run of it is started.

body ─► asked ─► context (the previous response, a conversation) ─► tools that Lar carries out
                                                              └─► a run of a model, or of an agent
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import anyio
import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.chosen import choose_model
from runtime.api.errors import Refused, invalid, unsupported
from runtime.api.responses.body import CreateBody
from runtime.api.responses.errors import (
    FIELDS,
    conversation_not_found,
    in_words_of_responses,
    previous_not_found,
    unreachable,
)
from runtime.api.responses.items_in import check_pairs
from runtime.api.responses.items_out import ItemWords
from runtime.api.responses.object import ResponseFace, echo_of, run_id
from runtime.api.responses.outside import outside_of
from runtime.api.responses.parts import Hosted, ResponseParts, parts_of
from runtime.api.responses.request import (
    Asked,
    bare_plan,
    context_of,
    first_request,
    leave_out_pictures,
    named_alike,
    new_run,
    plan_shaper,
    read_request,
)
from runtime.api.runs import Asker, asker_of
from runtime.core.agents.fold import opening_record
from runtime.core.agents.items import AnyItem
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import NewRun, RunFollower
from runtime.core.agents.starting import Wish
from runtime.core.agents.steps import TERMINAL, RunOpened, RunRecord
from runtime.core.errors import NotFound
from runtime.core.ids import ModelId, RunId

TRIGGER = "responses"
"""What the record of a run says that came through these routes."""
STOP_LIMIT_S = 5.0
"""How long to wait for a run that was told to stop: who follows it hears of its end anyway."""
_REMEMBERED = 16
"""Responses that a connection remembers; each shares what came before it with the others."""
_IMAGES = "images"


class Opened(NamedTuple):
    """A response that has begun."""

    follower: RunFollower
    face: ResponseFace
    asked: Asked
    conversation: Sequence[AnyItem]
    """What its first prompt is made of: what stood before, and what was asked."""
    note: Callable[[Sequence[AnyItem]], None]
    """Hears of the items that it gave, so that they are found by their ids."""
    warnings: Sequence[str] = ()
    """What is not done as asked."""


class Read(NamedTuple):
    """A request, and the conversation that it continues."""

    asked: Asked
    before: Sequence[AnyItem]


class Prepared(NamedTuple):
    """A run of a model that could begin."""

    asked: Asked
    new: NewRun
    before: Sequence[AnyItem]
    """What stood before the request."""
    hosted: Hosted
    warnings: Sequence[str]


class Memory:
    """What one connection has made, stored or not: the conversation of each response."""

    def __init__(self) -> None:
        self._conversations: OrderedDict[RunId, Sequence[AnyItem]] = OrderedDict()

    def keep(self, run: RunId, conversation: Sequence[AnyItem]) -> None:
        """Remember a conversation; the oldest is let go."""
        self._conversations[run] = conversation
        while len(self._conversations) > _REMEMBERED:
            self._conversations.popitem(last=False)

    def find(self, run: RunId) -> Sequence[AnyItem] | None:
        """Return what is remembered."""
        return self._conversations.get(run)

    def forget(self, response: object) -> None:
        """Let go of a response that a failed request wanted to continue."""
        run = run_id(response) if isinstance(response, str) else None
        if run is not None:
            self._conversations.pop(run, None)


class Opener:
    """Begins responses for one asker; `memory` is that of its connection."""

    def __init__(
        self, asker: Asker, agents: AgentParts, parts: ResponseParts, memory: Memory | None = None
    ) -> None:
        self.asker = asker
        self._memory = memory or Memory()
        self._deps = asker.deps
        self._agents = agents
        self._parts = parts
        self._principal = asker.principal
        self._tenant = asker.principal.tenant

    async def open(self, body: CreateBody) -> Opened:
        """Begin a response. Raises LarError, Refused."""
        asked, before = await self.read(body)
        hosted = await self._hosted(asked, before)
        try:
            return await self._open(asked, before, hosted)
        finally:
            hosted.give_back()  # those that no run keeps

    async def _open(self, asked: Asked, before: Sequence[AnyItem], hosted: Hosted) -> Opened:
        if await self._is_agent(asked.model):
            return await self._open_agent(asked, before, hosted)

        prepared = await self._prepared(asked, before, hosted)
        follower = await self._agents.runs.start(msgspec.structs.replace(prepared.new, loan=hosted.loan))
        hosted.keep(self._tenant, follower.run)
        conversation = [*before, *prepared.new.input]
        face = await self._face(follower.run, prepared.new.plan, asked)
        return Opened(follower, face, asked, conversation, self._noting(follower, asked), prepared.warnings)

    async def prepare(self, body: CreateBody) -> Prepared:
        """Return the run that a request would begin, checked but not begun. Raises LarError, Refused."""
        asked, before = await self.read(body)
        hosted = await self._hosted(asked, before)
        hosted.give_back()  # nothing is called
        plan = await self._agent_plan(asked, hosted) if await self._is_agent(asked.model) else None
        return await self._prepared(asked, before, hosted, plan)

    async def read(self, body: CreateBody) -> Read:
        """Return what a request asks for, and what stood before it. Raises LarError, Refused."""
        before = await self._before(body)
        asked = await self._read(body, before)
        if asked.session is not None:
            before = await self._said_in(asked.session)
        return Read(asked, before)

    async def model_of(self, name: str) -> ModelId:
        """Return the model that is meant: of an agent, its first. Raises LarError."""
        if not await self._is_agent(name):
            return ModelId(name)

        plan = await self._agents.starter.plan(Wish(agent=name, principal=self._principal, input=()))
        return plan.models[0]

    async def stop(self, run: RunId, reason: str) -> None:
        """Have a run stop; its followers hear of its end. Waits a little and no longer."""
        with anyio.move_on_after(STOP_LIMIT_S), suppress(NotFound):
            await self._agents.runs.cancel(self._tenant, run, reason)

    def face_of(self, record: RunRecord, plan: Plan) -> ResponseFace:
        """Return how a response is shown to this client."""
        words = ItemWords(self._tenant, self._parts.sealer, echo_of(plan).include)
        return ResponseFace(record, plan, words)

    def record_of(self, run: RunId, plan: Plan, asked: Asked) -> RunRecord:
        """Return what a run's record is at its beginning."""
        opened = RunOpened(at=self._deps.clock.now(), plan=plan, input=asked.items, session=asked.session)
        return opening_record(
            run,
            opened,
            previous=asked.previous,
            is_background=asked.is_background,
            is_stored=asked.is_stored,
        )

    async def _before(self, body: CreateBody) -> Sequence[AnyItem]:
        """Return the conversation of the previous response. Raises Refused."""
        response = body.previous_response_id
        if response is None or body.conversation is not None:
            return ()

        run = run_id(response)
        if run is None:
            raise previous_not_found(response)
        remembered = self._memory.find(run)
        if remembered is not None:
            return remembered

        runs = self._agents.runs
        try:
            record, steps = await runs.find(self._tenant, run), await runs.steps(self._tenant, run)
        except NotFound:
            raise previous_not_found(response) from None
        if record.status not in TERMINAL:
            message = f"Previous response with id '{response[:80]}' has not ended yet: it is {record.status}."
            raise invalid(message, "previous_response_id")
        return context_of(steps)

    async def _read(self, body: CreateBody, before: Sequence[AnyItem]) -> Asked:
        outside = outside_of(self._deps, self._parts, self._agents, self._principal, before)
        return await read_request(body, outside, self._parts.prompts)

    async def _said_in(self, session: str) -> Sequence[AnyItem]:
        """Return what a conversation holds. Raises Refused."""
        try:
            said = await self._agents.sessions.items(self._tenant, session)
        except NotFound:
            raise conversation_not_found(session) from None
        return [each.item for each in said]

    async def _hosted(self, asked: Asked, before: Sequence[AnyItem]) -> Hosted:
        wishes = asked.tools.hosted
        if not wishes:
            return Hosted()

        if self._parts.hosting is None:
            path = f"{wishes[0].path}.type"
            message = f"This server carries out no tools of the kind '{wishes[0].form}'. Leave it out."
            raise unsupported(message, path)
        names = [each.name for each in asked.tools.parts if isinstance(each, PlannedTool)]
        context = [*before, *asked.items]
        hosted = await self._parts.hosting.resolve(self._principal, wishes, context, names)
        has_tools = bool(names) or any(hosted.resolved.values())
        if hosted.failed and not has_tools and asked.body.tool_choice not in (None, "auto", "none"):
            hosted.give_back()
            raise unreachable(hosted.failed)
        return hosted

    async def _is_agent(self, name: str) -> bool:
        """Whether an agent is meant: a model of the same name goes first."""
        if self._deps.models.find_model(ModelId(name)) is not None:
            return False

        try:
            await self._agents.book.find(self._tenant, name)
        except NotFound:
            return False
        return True

    async def _agent_plan(self, asked: Asked, hosted: Hosted) -> Plan:
        """Return the plan that a run of an agent would have. Raises LarError, Refused."""
        shape = plan_shaper(asked, hosted.resolved)
        wish = Wish(agent=asked.model, principal=self._principal, input=asked.items, shape=shape)
        return await self._agents.starter.plan(wish)

    async def _prepared(
        self, asked: Asked, before: Sequence[AnyItem], hosted: Hosted, plan: Plan | None = None
    ) -> Prepared:
        if plan is None:
            plan = bare_plan(asked, self._principal, asked.tools.planned(hosted.resolved))
        new = new_run(asked, plan, before, hosted.added)
        new, warnings = self._without_pictures(new)
        await self._check_model(new)
        if asked.session is not None:
            new = msgspec.structs.replace(new, context=())  # the run reads its conversation itself
        new = msgspec.structs.replace(new, trigger=TRIGGER)
        return Prepared(asked, new, before, hosted, (*asked.echo.warnings, *warnings))

    def _without_pictures(self, new: NewRun) -> tuple[NewRun, Sequence[str]]:
        """Leave pictures out where the model sees none."""
        known = self._deps.models.find_model(new.plan.models[0])
        if known is None or _IMAGES in known.features:
            return new, ()

        items, context = leave_out_pictures(new.input), leave_out_pictures(new.context)
        if (items, context) == (new.input, new.context):
            return new, ()
        changed = msgspec.structs.replace(new, input=items, context=context)
        return changed, (f"pictures were left out: the model '{known.id}' sees none",)

    async def _check_model(self, new: NewRun) -> None:
        """Refuse what the model cannot do, before anything is begun. Raises ModelUnavailable, Refused."""
        try:
            await choose_model(self._deps, first_request(new), self._principal, FIELDS)
        except Refused as problem:
            raise Refused(in_words_of_responses(problem.refusal)) from problem

    async def _open_agent(self, asked: Asked, before: Sequence[AnyItem], hosted: Hosted) -> Opened:
        check_pairs(before, asked.items)
        shape, plans = plan_shaper(asked, hosted.resolved), list[Plan]()

        def shaped(plan: Plan) -> Plan:
            plans.append(shape(plan))
            return plans[-1]

        follower = await self._agents.starter.start(
            Wish(
                agent=asked.model,
                principal=self._principal,
                input=asked.items,
                door="api",
                trigger=TRIGGER,
                session=asked.session,
                context=() if asked.session is not None else before,
                previous=asked.previous,
                is_background=asked.is_background,
                is_stored=asked.is_stored,
                added=hosted.added,
                loan=hosted.loan,
                shape=shaped,
                fit=named_alike,
            )
        )
        hosted.keep(self._tenant, follower.run)
        face = await self._face(follower.run, plans[-1], asked)
        conversation = [*before, *asked.items]
        note = self._noting(follower, asked)
        return Opened(follower, face, asked, conversation, note, asked.echo.warnings)

    async def _face(self, run: RunId, plan: Plan, asked: Asked) -> ResponseFace:
        try:
            record = await self._agents.runs.find(self._tenant, run)
        except NotFound:
            record = self.record_of(run, plan, asked)  # it is over already, and not kept
        return self.face_of(record, plan)

    def _noting(self, follower: RunFollower, asked: Asked) -> Callable[[Sequence[AnyItem]], None]:
        def note(items: Sequence[AnyItem]) -> None:
            if asked.is_stored:
                self._parts.places.note(self._tenant, follower.run, items)

        note(asked.items)
        return note


def opener_of(request: web.Request, memory: Memory | None = None) -> Opener:
    """Return what begins responses for the sender of a request. Raises Refused where nothing can."""
    return Opener(asker_of(request), agents_of(request), parts_of(request), memory)
