"""What a model is asked: from the items of a conversation to the messages, tools and choices of a request.

The same items always give the same messages, and what came later stands later, so a turn's prompt begins with
the prompt of the turn before and the model's cache holds. A call without a result is never shown, nor a
result without its call; calls of one turn stand together with what was thought and said before them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runtime.core.agents.builtins import decide_shown
from runtime.core.agents.fold import RunState
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    Compacted,
    Decided,
    Document,
    Foreign,
    Listed,
    Part,
    Picture,
    Refusal,
    Said,
    Text,
    Thought,
    Wanted,
)
from runtime.core.agents.loops import note_of
from runtime.core.agents.plans import PlannedTool
from runtime.core.messages import (
    ChatRequest,
    ContentPart,
    CustomTool,
    FunctionCall,
    FunctionTool,
    ImagePart,
    Message,
    ResponseFormat,
    TextPart,
    ToolCall,
    ToolChoice,
)

Pictures = Mapping[str, bytes]
"""By file id: pictures that items name and do not hold."""
_NOTHING = "(no output)"


@dataclass(slots=True)
class _Block:
    """What the assistant gave in one turn, until something else is said."""

    thoughts: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    is_answered: bool = False
    """Whether a result of its calls has come: what is called then belongs to another turn."""

    def hear(self, result: Answered) -> None:
        """Notice a result; it is written beside its call."""
        self.is_answered = self.is_answered or any(each.call_id == result.call_id for each in self.calls)

    def message(self) -> Message | None:
        if not self.said and not self.calls:
            return None

        return Message(
            role="assistant",
            content="\n\n".join(self.said) or None,
            reasoning_content="\n\n".join(self.thoughts) or None,
            tool_calls=tuple(_tool_call(each) for each in self.calls),
        )


class _Writer:
    """Writes messages from items, in order."""

    def __init__(self, items: Sequence[AnyItem], pictures: Pictures) -> None:
        self.messages: list[Message] = []
        self._items = items
        self._pictures = pictures
        self._results = {each.call_id: each for each in items if isinstance(each, Answered)}
        self._wanted = {each.id: each for each in items if isinstance(each, Wanted)}
        self._shown: set[str] = set()
        self._block = _Block()

    def write(self) -> list[Message]:
        for number, item in enumerate(self._items):
            self._take(item, number)
        self._flush()
        return self.messages

    def _take(self, item: AnyItem, number: int) -> None:
        match item:
            case Said():
                self._say(item, number)
            case Thought():
                if item.status != "incomplete":
                    self._think(item)
            case Called():
                self._call(item)
            case Decided():
                self._decide(item)
            case Foreign():
                if item.text:
                    self._put(Message(role="user", content=item.text))
            case Answered():
                self._block.hear(item)
            case Wanted() | Listed() | Compacted():
                pass  # results stand with their calls; the others are told elsewhere or to nobody

    def _say(self, said: Said, number: int) -> None:
        if said.role != "assistant":
            content = content_of(said.parts, self._pictures)
            self._put(Message(role=said.role, content=content))
            return

        if said.status == "incomplete" and self._is_said_again(number):
            return

        if self._block.calls or self._block.said:
            self._flush()
        self._block.said.append(said.text)

    def _is_said_again(self, number: int) -> bool:
        """Whether the assistant went on after a message that broke off: it was generated anew."""
        after = (each for each in self._items[number + 1 :] if isinstance(each, Said | Called))
        following = next(after, None)
        return isinstance(following, Called) or (following is not None and following.role == "assistant")

    def _think(self, thought: Thought) -> None:
        if self._block.calls or self._block.said:
            self._flush()
        text = thought.text or "\n\n".join(thought.summary)
        if text:
            self._block.thoughts.append(text)

    def _call(self, called: Called) -> None:
        is_whole = called.status in ("completed", "failed")
        if is_whole and called.call_id in self._results and called.call_id not in self._shown:
            self._shown.add(called.call_id)
            if self._block.is_answered:
                self._flush()
            self._block.calls.append(called)

    def _decide(self, decided: Decided) -> None:
        """Tell of a no, as the result of the call that was wanted; a yes has the call itself."""
        wanted = self._wanted.get(decided.wanted)
        if wanted is None or decided.is_approved:
            return

        self._flush()
        refused = Called(
            id=wanted.id, call_id=wanted.call_id, name=wanted.name, arguments=wanted.arguments, form="mcp"
        )
        self._block.calls.append(refused)
        reason = f": {decided.reason}" if decided.reason else "."
        self._results[wanted.call_id] = Answered(
            id=decided.id,
            call_id=wanted.call_id,
            parts=(Text(text=f"The person did not allow this call{reason}"),),
        )
        self._flush()

    def _put(self, message: Message) -> None:
        self._flush()
        self.messages.append(message)

    def _flush(self) -> None:
        """End the assistant's block: its message, then the results of its calls in the order of the calls."""
        block, self._block = self._block, _Block()
        message = block.message()
        if message is None:
            return

        self.messages.append(message)
        for call in block.calls:
            result = self._results[call.call_id]
            self.messages.append(
                Message(
                    role="tool", tool_call_id=call.call_id, content=result_content(result, self._pictures)
                )
            )


def messages_of(
    items: Sequence[AnyItem], *, instructions: str = "", summary: str = "", pictures: Pictures | None = None
) -> list[Message]:
    """Return the messages that a conversation is for a model.

    A summary among the items stands for all before it, as does the one that is given.
    """
    last = next((at for at in reversed(range(len(items))) if isinstance(items[at], Compacted)), None)
    kept: Sequence[AnyItem] = items
    if last is not None:
        compacted = items[last]
        assert isinstance(compacted, Compacted)
        summary = compacted.summary
        kept = [*_question_to_keep(items[:last], items[last + 1 :]), *items[last + 1 :]]

    told = [instructions, f"Summary of the conversation so far:\n{summary}" if summary else ""]
    system = "\n\n".join(filter(None, told))
    first = [Message(role="system", content=system)] if system else []
    return [*first, *_Writer(kept, pictures or {}).write()]


def request_of(
    state: RunState,
    *,
    pictures: Pictures | None = None,
    choice: ToolChoice | None = None,
    added: Sequence[AnyItem] = (),
) -> ChatRequest:
    """Return what the model of the next turn is asked; `added` items are heard in this turn alone."""
    plan = state.plan
    items = state.prompt_items
    gone = state.conversation[: len(state.conversation) - len(items)]
    kept = [*_question_to_keep(gone, items), *items, *added]
    chosen = choose_tools(state) if choice is None else choice
    return ChatRequest(
        model=state.model,
        priority=plan.priority,
        messages=tuple(
            messages_of(
                kept,
                instructions=plan.instructions,
                summary=state.summary.summary if state.summary else "",
                pictures=pictures,
            )
        ),
        tools=tuple(_tool(each) for each in decide_shown(plan.tools, state.conversation)),
        tool_choice=chosen,
        parallel_tool_calls=plan.parallel_tool_calls,
        response_format=ResponseFormat() if chosen.mode == "required" else plan.response_format,
        sampling=plan.sampling,
        reasoning_effort=plan.reasoning_effort,
    )


def choose_tools(state: RunState) -> ToolChoice:
    """Return how free the next turn is: as the plan says at first, later `auto` unless it is `none`."""
    plan = state.plan
    shown = [each.name for each in decide_shown(plan.tools, state.conversation)]
    if plan.tool_choice.mode == "none" or not shown:
        return ToolChoice(mode="none")

    has_called = bool(state.calls)
    choice = plan.tool_choice
    if has_called and choice.mode == "required":
        choice = ToolChoice()
    names = [each for each in choice.names or shown if each in shown]
    if plan.allowed_tools:
        names = [each for each in names if each in plan.allowed_tools]
    if plan.hosted_calls is not None and state.hosted_made >= plan.hosted_calls:
        hosted = {each.name for each in plan.tools if each.executor in ("hub", "hosted")}
        names = [each for each in names if each not in hosted]
    if not names:
        return ToolChoice(mode="none")

    return ToolChoice(mode=choice.mode, names=() if names == shown else tuple(names))


def content_of(parts: Sequence[Part], pictures: Pictures) -> str | tuple[ContentPart, ...]:
    """Return what a message says: text alone, or parts where there are pictures."""
    content = [_part(each, pictures) for each in parts]
    if any(isinstance(each, ImagePart) for each in content):
        return tuple(content)

    return "\n".join(each.text for each in content if isinstance(each, TextPart))


def result_content(result: Answered, pictures: Pictures) -> str | tuple[ContentPart, ...]:
    """Return what a model reads of a result, an error said to be one."""
    parts = list(result.parts)
    if not parts and result.structured is not None:
        parts = [Text(text=json.dumps(result.structured, ensure_ascii=False))]
    if not parts:
        parts = [Text(text=_NOTHING)]
    if result.is_error:
        parts.insert(0, Text(text="Error:"))
    note = note_of(result)
    if note:
        parts.append(Text(text=note))
    return content_of(parts, pictures)


def _part(part: Part, pictures: Pictures) -> ContentPart:
    match part:
        case Text() | Refusal():
            return TextPart(text=part.text)
        case Document():
            name = part.filename or part.url or part.file_id or "document"
            return TextPart(text=f"[File: {name}]\n{part.text}")
        case Picture():
            data = part.data if part.data is not None else pictures.get(part.file_id or "")
            return TextPart(text="[A picture that is gone]") if data is None else ImagePart(data=data)


def _tool_call(called: Called) -> ToolCall:
    return ToolCall(
        id=called.call_id,
        function=FunctionCall(name=called.name, arguments=called.arguments),
        type="custom" if called.form == "custom" else "function",
    )


def _tool(tool: PlannedTool) -> FunctionTool | CustomTool:
    if tool.syntax is not None:
        return CustomTool(
            name=tool.name,
            description=tool.description or None,
            syntax=tool.syntax,
            definition=tool.definition,
        )

    return FunctionTool(
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters,
        strict=tool.strict,
    )


def _question_to_keep(gone: Sequence[AnyItem], kept: Sequence[AnyItem]) -> list[AnyItem]:
    """Return the user's last message where it would go and nothing of the user is left."""

    def is_asked(item: AnyItem) -> bool:
        return isinstance(item, Said) and item.role == "user"

    if any(map(is_asked, kept)):
        return []

    return [each for each in reversed(gone) if is_asked(each)][:1]
