"""From deltas to items: one at a time, whatever the model does."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    ItemBegan,
    ItemEnded,
    TextGrew,
    ThoughtGrew,
)
from runtime.core.agents.items import Called, Said, Text, Thought, Wanted
from runtime.core.agents.outputs import TurnWriter
from runtime.core.agents.plans import PlannedTool
from runtime.core.messages import ChosenLogprob, Delta, ToolCallDelta
from tests.kit.agent_stage import call_piece, counting_mint, hub_tool, plan_of

CUSTOM = PlannedTool(name="sum", form="custom", syntax="text", namespace="maths")
TOOLS = (PlannedTool(name="weather"), hub_tool(), CUSTOM, hub_tool("careful", approval="always"))


def writer(*, door: str = "agent", taken: tuple[str, ...] = ()) -> TurnWriter:
    return TurnWriter(plan_of(*TOOLS, door=door), 3, counting_mint(), taken)


def test_items_close_before_the_next_begins_and_carry_their_prefixes() -> None:
    turn = writer()

    told = turn.hear(Delta(reasoning="hm", text="Well.", tool_calls=call_piece("weather").tool_calls))
    told += turn.hear(call_piece("sum", "1+1", "call_b", 1))
    told += turn.finish(is_cut=False)

    assert [type(each) for each in told] == [
        ItemBegan, ThoughtGrew, ItemEnded, ItemBegan, TextGrew, ItemEnded,
        ItemBegan, ArgumentsGrew, ItemEnded, ItemBegan, ArgumentsGrew, ItemEnded,
    ]  # fmt: skip
    assert [each.id.split("_")[0] for each in turn.items] == ["rs", "msg", "fc", "ctc"]
    thought, said, function, custom = turn.items
    assert isinstance(thought, Thought)
    assert isinstance(said, Said)
    assert said.phase == "commentary"
    assert isinstance(function, Called)
    assert isinstance(custom, Called)
    assert (custom.arguments, custom.namespace, custom.by_client) == ("1+1", "maths", True)


def test_a_call_of_lars_stays_open_until_its_result() -> None:
    turn = writer()

    told = turn.hear(call_piece("look")) + turn.finish(is_cut=False)

    assert [type(each) for each in told] == [ItemBegan, ArgumentsGrew]
    [called] = turn.items
    assert isinstance(called, Called)
    assert (called.status, called.by_client) == ("completed", False)


def test_a_call_that_the_asker_must_allow_comes_out_whole() -> None:
    turn = writer(door="responses")

    told = turn.hear(call_piece("careful", '{"at":')) + turn.hear(Delta(text="So."))
    assert [type(each) for each in told] == [ItemBegan, ItemEnded, ItemBegan, TextGrew]
    assert isinstance(turn.items[0], Wanted)


def test_a_call_to_be_allowed_that_was_cut_off_is_nothing() -> None:
    turn = writer(door="responses")

    assert turn.hear(call_piece("careful", '{"at":')) + turn.finish(is_cut=True) == []
    assert turn.items == []


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    turn = writer()

    told = turn.finish(is_cut=False)

    assert [type(each) for each in told] == [ItemBegan, ItemEnded]
    [said] = turn.items
    assert isinstance(said, Said)
    assert said.parts == (Text(text=""),)


def test_blanks_before_a_text_belong_to_it_with_their_probabilities() -> None:
    turn = writer()
    blank, word = (ChosenLogprob(token=each, logprob=-1.0, bytes=()) for each in (" ", "a"))

    assert turn.hear(Delta(text=" ", logprobs=(blank,))) == []
    told = turn.hear(Delta(text="a", logprobs=(word,)))
    turn.finish(is_cut=False)

    assert isinstance(told[1], TextGrew)
    assert (told[1].delta, told[1].logprobs) == (" a", (blank, word))
    [said] = turn.items
    assert isinstance(said, Said)
    [text] = said.parts
    assert isinstance(text, Text)
    assert (text.text, text.logprobs) == (" a", (blank, word))


def test_the_id_of_a_call_that_the_run_has_already_is_changed() -> None:
    turn = writer(taken=("call_a",))

    turn.hear(call_piece("look"))
    turn.hear(call_piece("look", call_id="call_b", index=1))
    turn.hear(call_piece("look", call_id="call_b", index=2))
    turn.finish(is_cut=False)

    ids = [each.call_id for each in turn.items if isinstance(each, Called)]
    assert ids[1] == "call_b"
    assert len({*ids, "call_a"}) == 4


def test_a_call_without_arguments_has_an_empty_object() -> None:
    turn = writer()

    told = turn.hear(call_piece("weather", "")) + turn.finish(is_cut=False)

    assert [each.delta for each in told if isinstance(each, ArgumentsGrew)] == ["{}"]


def test_what_is_given_up_is_closed_and_none_of_its_calls_is_to_be_made() -> None:
    turn = writer()

    turn.hear(call_piece("look"))
    turn.hear(Delta(text="and"))
    told = turn.abandon()

    assert sorted(each.place for each in told if isinstance(each, ItemEnded)) == [3, 4]
    assert [getattr(each, "status", "") for each in turn.items] == ["incomplete", "incomplete"]


PIECES = st.lists(
    st.builds(
        Delta,
        text=st.sampled_from(["", " ", "a"]),
        reasoning=st.sampled_from(["", "r"]),
        tool_calls=st.lists(
            st.builds(
                ToolCallDelta,
                index=st.integers(0, 2),
                id=st.sampled_from([None, "call_a"]),
                name=st.sampled_from([None, "look", "weather", "sum", "careful", "nonsense"]),
                arguments=st.sampled_from(["", "{}", '{"a']),
            ),
            max_size=2,
        ).map(tuple),
    ),
    max_size=12,
)


@given(PIECES, st.sampled_from(["whole", "cut", "abandoned"]), st.sampled_from(["agent", "responses"]))
def test_any_deltas_make_items_that_begin_grow_and_end(pieces: list[Delta], end: str, door: str) -> None:
    turn = writer(door=door)

    told: list[AnyHappening] = [happening for each in pieces for happening in turn.hear(each)]
    told += turn.abandon() if end == "abandoned" else turn.finish(is_cut=end == "cut")

    begun: dict[int, str] = {}
    ended: dict[int, object] = {}
    for each in told:
        if isinstance(each, ItemBegan):
            assert each.place == 3 + len(begun)
            begun[each.place] = ""
        elif isinstance(each, TextGrew | ThoughtGrew | ArgumentsGrew):
            assert each.place not in ended
            begun[each.place] += each.delta
        elif isinstance(each, ItemEnded):
            assert each.place not in ended
            ended[each.place] = each.item
    assert len(begun) == len(turn.items)
    for number, item in enumerate(turn.items):
        is_open = isinstance(item, Called) and not item.by_client and item.status == "completed"
        assert is_open or ended[3 + number] == item
        text = item.arguments if isinstance(item, Called) else getattr(item, "text", "")
        assert isinstance(item, Wanted) or text == begun[3 + number]
