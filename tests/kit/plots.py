"""Plots for Hypothesis: well-formed lists of what a run tells, as its machine would tell it.

Turns hold thoughts, messages and calls, one written after the other; calls that Lar carries out run side by
side and end in any order, before the next turn.
"""

import json
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st

from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    CallMoved,
    ItemBegan,
    ItemEnded,
    StatusChanged,
    TextCited,
    TextGrew,
    ThoughtGrew,
    TurnClosed,
    TurnOpened,
)
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    CallForm,
    Citation,
    Compacted,
    Listed,
    Refusal,
    Said,
    Text,
    Thought,
    Wanted,
)
from runtime.core.agents.outputs import ID_PREFIXES
from runtime.core.ids import ModelId
from runtime.core.messages import ChosenLogprob, Usage

_WORDS = st.text(alphabet='ab c"\\\né😀', min_size=1, max_size=20)
_ARGUMENTS: dict[CallForm, dict[str, object]] = {
    "function": {"city": "Berlin"},
    "mcp": {"path": "notes/é.md"},
    "file_search": {"queries": ["what is it"]},
    "web_search": {"query": "news"},
    "code_interpreter": {"code": 'print("é😀\n")'},
    "image_generation": {"prompt": "a cat"},
    "shell": {"commands": ["ls -l", "pwd"]},
    "local_shell": {"command": ["ls"], "env": {}},
    "apply_patch": {"type": "delete_file", "path": "a.txt"},
}
_OF_LAR: tuple[CallForm, ...] = ("mcp", "file_search", "web_search", "code_interpreter", "image_generation")
_OF_CLIENTS: tuple[CallForm, ...] = ("function", "custom", "shell", "apply_patch")


@dataclass
class _Story:
    """What was told so far."""

    told: list[AnyHappening] = field(default_factory=list)
    places: int = 0
    open_calls: list[tuple[int, Called]] = field(default_factory=list)

    def place(self) -> int:
        self.places += 1
        return self.places - 1


@st.composite
def plots(draw: st.DrawFn, *, is_background: bool = False) -> list[AnyHappening]:
    """Return what a run tells, but for its end."""
    story = _Story()
    if is_background:
        story.told.append(StatusChanged(status="queued", model=ModelId("m")))
    story.told.append(StatusChanged(status="in_progress", model=ModelId("m")))
    for _ in range(draw(st.integers(0, 1))):
        _come_whole(draw, story)
    for turn in range(draw(st.integers(1, 3))):
        story.told.append(TurnOpened(turn=turn, model=ModelId("m"), prompt_tokens=7))
        _turn(draw, story)
        usage = Usage(prompt_tokens=7, completion_tokens=3)
        story.told.append(TurnClosed(turn=turn, usage=usage))
        _make_calls(draw, story)
    return story.told


def _turn(draw: st.DrawFn, story: _Story) -> None:
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["said", "thought", "call", "call"]))
        if kind == "said":
            _say(draw, story)
        elif kind == "thought":
            _think(draw, story)
        else:
            _call(draw, story)


def _cut(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text into pieces, none of them empty."""
    places = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=4))})
    return [text[one:other] for one, other in pairwise(places)]


def _say(draw: st.DrawFn, story: _Story) -> None:
    place = story.place()
    said = Said(id=f"msg_{place}", role="assistant", parts=(), status="in_progress")
    story.told.append(ItemBegan(place=place, item=said))
    parts: list[Text | Refusal] = []
    for number in range(draw(st.integers(1, 2))):
        text, citations = draw(_WORDS), []
        logprob = ChosenLogprob(token="a", logprob=-0.5, bytes=(97,))
        logprobs = (logprob,) if draw(st.booleans()) else ()
        for piece in _cut(draw, text):
            grown = TextGrew(place=place, item_id=said.id, part=number, delta=piece, logprobs=logprobs)
            story.told.append(grown)
        for _ in range(draw(st.integers(0, 2))):
            citation = Citation(index=1, file_id="file-1", filename="a.txt")
            citations.append(citation)
            if draw(st.booleans()):
                cited = TextCited(place=place, item_id=said.id, part=number, citation=citation)
                story.told.append(cited)
        parts.append(Text(text=text, citations=tuple(citations), logprobs=logprobs))
    if draw(st.integers(0, 9)) == 0:
        parts.append(Refusal(text="No."))
    done = Said(id=said.id, role="assistant", parts=tuple(parts), phase="final_answer")
    story.told.append(ItemEnded(place=place, item=done))


def _think(draw: st.DrawFn, story: _Story) -> None:
    place, text = story.place(), draw(_WORDS)
    thought = Thought(id=f"rs_{place}", text="", status="in_progress")
    story.told.append(ItemBegan(place=place, item=thought))
    for piece in _cut(draw, text):
        story.told.append(ThoughtGrew(place=place, item_id=thought.id, delta=piece))
    summary = ("In short.",) if draw(st.booleans()) else ()
    story.told.append(ItemEnded(place=place, item=Thought(id=thought.id, text=text, summary=summary)))


def _call(draw: st.DrawFn, story: _Story) -> None:
    by_client = draw(st.booleans())
    form = draw(st.sampled_from(_OF_CLIENTS if by_client else _OF_LAR))
    place = story.place()
    arguments = draw(_WORDS) if form == "custom" else json.dumps(_ARGUMENTS[form])
    called = Called(
        id=f"{ID_PREFIXES[form]}{place}",
        call_id=f"call_{place}",
        name="tool",
        tool="tool",
        arguments="",
        form=form,
        by_client=by_client,
        server="shelf" if form == "mcp" else "",
        status="in_progress",
    )
    story.told.append(ItemBegan(place=place, item=called))
    for piece in _cut(draw, arguments):
        story.told.append(ArgumentsGrew(place=place, item_id=called.id, delta=piece))
    done = Called(
        **{
            name: getattr(called, name)
            for name in ("id", "call_id", "name", "tool", "form", "by_client", "server")
        },
        arguments=arguments,
    )
    if by_client:
        story.told.append(ItemEnded(place=place, item=done))
    else:
        story.open_calls.append((place, done))


def _make_calls(draw: st.DrawFn, story: _Story) -> None:
    calls, story.open_calls = story.open_calls, []
    for place, called in calls:
        story.told.append(CallMoved(place=place, call_id=called.call_id, stage="started"))
    for place, called in draw(st.permutations(calls)):
        if draw(st.booleans()):
            story.told.append(CallMoved(place=place, call_id=called.call_id, stage="progress", message="…"))
        is_error = draw(st.booleans())
        stage = "failed" if is_error else "finished"
        story.told.append(CallMoved(place=place, call_id=called.call_id, stage=stage))
        result = Answered(
            id=f"res_{place}",
            call_id=called.call_id,
            parts=(Text(text="result"),),
            form=called.form,
            is_error=is_error,
        )
        story.told.append(ItemEnded(place=place, item=called, result=result))


def _come_whole(draw: st.DrawFn, story: _Story) -> None:
    place = story.place()
    listed = Listed(id=f"mcpl_{place}", server="shelf", tools=({"name": "tool", "input_schema": {}},))
    broken = Listed(id=f"mcpl_{place}", server="shelf", error="It cannot be reached.")
    wanted = Wanted(
        id=f"mcpr_{place}", call_id="call_w", name="tool", server="shelf", tool="tool", arguments="{}"
    )
    compacted = Compacted(id=f"cmp_{place}", summary="What was said.")
    items: list[AnyItem] = [listed, broken, wanted, compacted]
    item = draw(st.sampled_from(items))
    story.told += [ItemBegan(place=place, item=item), ItemEnded(place=place, item=item)]
