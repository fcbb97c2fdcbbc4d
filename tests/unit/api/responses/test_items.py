"""Items over the wire: every kind goes out as the official SDK reads it, and comes back as it was."""

from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseItem, ResponseOutputItem
from pydantic import TypeAdapter

from runtime.api.errors import Refused
from runtime.api.responses.calls_out import OWN_SERVER, shown_form
from runtime.api.responses.items_in import check_pairs
from runtime.core.agents.items import Answered, AnyItem, Called, Decided, Foreign, Said, Text, Thought, Wanted
from runtime.core.agents.prompting import messages_of
from runtime.core.ids import TenantId
from tests.kit.responses import EVERYTHING, make_outside, make_words, read_items
from tests.unit.api.responses.samples import LOGPROB, PNG_URL, SAMPLES

_ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)
_OUTPUT: TypeAdapter[Any] = TypeAdapter(ResponseOutputItem)
_MORE = {"status", "results", "image_url", "call_id"}
"""What OpenAI sends although not every type of its SDK names it."""


def _parsed(wired: dict[str, Any]) -> Any:
    """Return the item as the SDK reads it, JSON in between."""
    plain = msgspec.json.decode(msgspec.json.encode(wired))
    parsed = _ITEM.validate_python(plain)
    assert parsed.type == wired["type"]
    assert set(parsed.model_extra or {}) <= _MORE
    return parsed


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("include", [(), EVERYTHING], ids=["bare", "everything"])
def test_every_item_goes_out_as_the_official_sdk_reads_it(kind: str, include: tuple[str, ...]) -> None:
    for wired in make_words(*include).items(SAMPLES[kind]):
        _parsed(wired)


@pytest.mark.parametrize("kind", SAMPLES)
async def test_every_item_that_went_out_comes_back_as_it_was(kind: str) -> None:
    wired = make_words(*EVERYTHING).items(SAMPLES[kind])
    plain = msgspec.json.decode(msgspec.json.encode(wired))

    back = await read_items(*plain)

    assert [_without_minted(each) for each in back] == [_without_minted(each) for each in SAMPLES[kind]]


@pytest.mark.parametrize("kind", SAMPLES)
async def test_a_model_reads_of_what_came_back_what_it_has_read_before(kind: str) -> None:
    wired = make_words(*EVERYTHING).items(SAMPLES[kind])
    back = await read_items(*msgspec.json.decode(msgspec.json.encode(wired)))

    assert messages_of(back) == messages_of(SAMPLES[kind])


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_item_of_an_output_is_one_that_an_output_may_have(kind: str) -> None:
    for wired in make_words().items(SAMPLES[kind]):
        if wired["type"] == "message" and wired["role"] != "assistant":
            continue
        _OUTPUT.validate_python(wired)


@pytest.mark.parametrize("form", ["function", "custom", "shell", "local_shell", "apply_patch", "mcp"])
@pytest.mark.parametrize("arguments", ["", "{", '{"command', "[1]", '"x"', "{}"])
def test_a_call_that_is_still_written_is_shown_all_the_same(form: Any, arguments: str) -> None:
    called = Called(
        id="x_1", call_id="call_1", name="x", arguments=arguments, form=form, server="s", status="in_progress"
    )

    parsed = _parsed(make_words().item(called))

    assert parsed.status == "in_progress"


def test_a_function_that_lar_carries_out_is_no_call_for_the_asker_to_make() -> None:
    called, result = SAMPLES["a call of Lar's own"]
    assert isinstance(called, Called)
    assert isinstance(result, Answered)

    wired = make_words().item(called, result)

    assert shown_form(called) == "mcp"
    assert (wired["type"], wired["server_label"], wired["name"]) == ("mcp_call", OWN_SERVER, "ask_clerk")
    assert wired["output"] == "Done."


def test_what_must_be_asked_for_is_not_shown_unasked() -> None:
    words = make_words()

    assert words.items(SAMPLES["a search in files"])[0]["results"] is None
    assert "sources" not in words.items(SAMPLES["a search on the web"])[0]["action"]
    assert words.items(SAMPLES["a program"])[0]["outputs"] is None
    assert "encrypted_content" not in words.items(SAMPLES["a thought"])[0]
    assert words.items(SAMPLES["a question with a picture"])[0]["content"][1]["image_url"] is None


def test_probabilities_are_shown_where_they_are_asked_for() -> None:
    said = Said(id="msg_1", role="assistant", parts=(Text(text="a", logprobs=(LOGPROB,)),))

    bare = make_words().item(said)
    full = make_words("message.output_text.logprobs").item(said)

    assert "logprobs" not in bare["content"][0]
    assert full["content"][0]["logprobs"][0]["top_logprobs"][0]["token"] == "b"


async def test_a_message_without_a_type_is_one() -> None:
    items = await read_items({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})

    assert [(each.role, each.text) for each in items if isinstance(each, Said)] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]


async def test_an_id_that_stands_twice_is_made_anew() -> None:
    items = await read_items(
        {"id": "msg_a", "role": "user", "content": "1"}, {"id": "msg_a", "role": "user", "content": "2"}
    )

    assert items[0].id == "msg_a"
    assert items[1].id != "msg_a"


async def test_a_reference_stands_for_what_is_kept() -> None:
    kept: list[AnyItem] = list(SAMPLES["a function and its result"])
    outside = make_outside({"fc_1": kept})

    assert await read_items({"type": "item_reference", "id": "fc_1"}, outside=outside) == kept
    assert await read_items({"id": "fc_1"}, outside=outside) == kept


async def test_what_a_model_is_not_told_of_is_kept_and_shown_again() -> None:
    given = {"type": "tool_search_call", "id": "tsc_1", "arguments": {"q": "x"}, "status": "completed"}

    items = await read_items(given)

    assert isinstance(items[0], Foreign)
    assert make_words().item(items[0]) == given


async def test_an_item_of_a_vendor_is_kept() -> None:
    items = await read_items({"type": "acme:thing", "id": "thing_1", "status": "completed"})

    assert isinstance(items[0], Foreign)


async def test_a_screenshot_answers_a_call_of_the_computer() -> None:
    call = {
        "type": "computer_call",
        "id": "cu_1",
        "call_id": "call_1",
        "status": "completed",
        "actions": [{"type": "screenshot"}],
        "pending_safety_checks": [],
    }
    output = {
        "type": "computer_call_output",
        "id": "cuo_1",
        "call_id": "call_1",
        "status": "completed",
        "output": {"type": "computer_screenshot", "image_url": PNG_URL},
    }

    items = await read_items(call, output)

    check_pairs([], items)
    assert make_words().items(items) == [call, output]
    assert messages_of(items)[-1].role == "tool"


async def test_reasoning_comes_back_without_its_text_where_it_is_sealed() -> None:
    wired = make_words(*EVERYTHING).item(SAMPLES["a thought"][0])
    del wired["content"]

    items = await read_items(wired)

    assert isinstance(items[0], Thought)
    assert items[0].text == "Hm."


async def test_reasoning_of_another_tenant_is_refused() -> None:
    wired = make_words(*EVERYTHING, tenant=TenantId("other")).item(SAMPLES["a thought"][0])

    with pytest.raises(Refused) as refused:
        await read_items(wired)

    assert refused.value.refusal.code == "invalid_encrypted_content"
    assert refused.value.refusal.param == "input[0].encrypted_content"


def test_calls_and_results_must_match_over_what_stood_before() -> None:
    called, answered = SAMPLES["a function and its result"]

    check_pairs([called], [answered])
    check_pairs([], SAMPLES["a call of a server"])
    check_pairs([], [SAMPLES["a call of a server"][0]])
    with pytest.raises(Refused, match=r"^No tool call found for function call output with call_id call_1\.$"):
        check_pairs([], [answered])
    with pytest.raises(Refused, match=r"^No tool output found for function call call_1\.$"):
        check_pairs([called], [])


def test_an_answer_needs_its_question() -> None:
    wanted, decided = SAMPLES["a person's answer"]
    assert isinstance(wanted, Wanted)
    assert isinstance(decided, Decided)

    check_pairs([wanted], [decided])
    with pytest.raises(Refused, match="No approval request found with id 'mcpr_1'"):
        check_pairs([], [decided])


def _without_minted(item: AnyItem) -> AnyItem:
    """Return an item without the ids that the wire does not carry."""
    match item:
        case Answered():
            return msgspec.structs.replace(item, id="", call_id="")
        case Called() if not item.by_client:
            return msgspec.structs.replace(item, call_id="")
        case Wanted():
            return msgspec.structs.replace(item, call_id="")
        case _:
            return item
