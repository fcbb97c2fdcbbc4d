"""Reading cues out of a user's message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.scripted.chat import Refused
from runtime.backends.engines.scripted.cues import CUE_NAMES, CalledTool, Cues, read_cues
from runtime.backends.protocol import Fault

PARAM = "messages[0].content"
ODD_JSON = '{"b":"]]", "c":[[1]] }'


def read(text: str) -> Cues:
    return read_cues(text, PARAM)


def fault_of(text: str) -> Fault:
    with pytest.raises(Refused) as refused:
        read(text)
    assert refused.value.fault.param == PARAM
    assert refused.value.fault.code == "invalid_request"
    return refused.value.fault


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("hello", Cues(text="hello")),
        ("[[say: exactly  this ]]", Cues(say="exactly  this ")),
        ("[[say:]]", Cues(say="")),
        ("[[say: two\nlines]]", Cues(say="two\nlines")),
        ('[[say: {"a": [[[1]], 2]}]]', Cues(say='{"a": [[[1]], 2]}')),
        ("[[say: a ] b]] c", Cues(say="a ] b", text="c")),
        ("[[say: [1]]]", Cues(say="[1]")),
        ("[[long: 500]]", Cues(words=500)),
        ("[[reason: a thought ]]", Cues(reason="a thought")),
        ("[[slow: 50ms]]", Cues(delay_s=0.05)),
        ("[[slow:1.5s]]", Cues(delay_s=1.5)),
        ("[[ slow : 2s ]]", Cues(delay_s=2.0)),
        ("[[fail: out of luck]]", Cues(fail="out of luck")),
        ("[[fail-after: 3]]", Cues(fail_after=3)),
        ("[[crash]]", Cues(crash_after=0)),
        ("[[crash-after: 2]]", Cues(crash_after=2)),
        ("[[hang]]", Cues(is_hanging=True)),
        ("[[freeze]]", Cues(is_freezing=True)),
        ("[[noise]]", Cues(is_noisy=True)),
        ("[[call: add]]", Cues(rounds=((CalledTool(name="add"),),))),
        ('[[call: a {"b":"]]", "c":[[1]] }]]', Cues(rounds=((CalledTool(name="a", arguments=ODD_JSON),),))),
        ("[[call: a]] [[call: b {} ]]", Cues(rounds=((CalledTool(name="a"), CalledTool(name="b")),))),
        (
            "[[call: a]] [[then]] [[call: b]]",
            Cues(rounds=((CalledTool(name="a"),), (CalledTool(name="b"),))),
        ),
    ],
)  # fmt: skip
def test_a_cue_is_read(text: str, cues: Cues) -> None:
    assert read(text) == cues


def test_cues_are_taken_out_of_the_text_wherever_they_stand() -> None:
    cues = read("[[slow: 1s]] Hello, [[reason: who?]] house!\n[[noise]]\nBye.")

    assert cues.text == "Hello, house!\nBye."
    assert (cues.delay_s, cues.reason, cues.is_noisy) == (1.0, "who?", True)


@pytest.mark.parametrize(
    "text", ["[[1, 2], [3, 4]]", "[[two words]]", "a[[0]]", "[[", "[[]]", "[crash]", "[[é]]"]
)
def test_what_does_not_look_like_a_cue_is_text(text: str) -> None:
    assert read(text) == Cues(text=text)


@pytest.mark.parametrize(
    "text", ["[[bogus]]", "[[bogus: 1]]", "[[Slow: 1s]]", "[[fail_after: 3]]", "[[wiki]]"]
)
def test_an_unknown_cue_is_refused_with_the_known_ones(text: str) -> None:
    fault = fault_of(text)

    assert text.strip("[]").split(":")[0] in fault.message
    assert all(name in fault.message for name in CUE_NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "[[say]]", "[[say: never closed", "[[say: open [ bracket]]", "[[long]]",
        "[[long: 0]]", "[[long: many]]", "[[long: 100001]]",
        "[[long: -1]]", "[[long: ²]]", "[[long: 99999999999999999999]]", "[[reason: ]]", "[[slow: 5]]",
        "[[slow: 0ms]]", "[[slow: 61s]]", "[[slow: -1s]]", "[[fail]]", "[[fail-after: x]]", "[[crash: now]]",
        "[[crash-after]]", "[[hang: 3]]", "[[freeze:]]", "[[noise: loud]]", "[[call]]", "[[call: ]]",
        "[[call: add [1]]]", "[[call: add {]]", '[[call: add {"a": NaN}]]', "[[call: add {} more]]",
        "[[call: add " + '{"a":' * 5000,
        "[[then]]",
        "[[then: x]]",
    ],
)  # fmt: skip
def test_a_malformed_cue_is_refused_with_the_form_it_should_have(text: str) -> None:
    fault = fault_of(text)

    name = text.strip("[]").split(":")[0]
    assert f"The cue [[{name}]] is malformed" in fault.message
    assert f"Write it as [[{name}" in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "[[slow: 1s]] [[slow: 2s]]",
        "[[crash]] [[crash-after: 2]]",
        "[[say: a]] [[long: 2]]",
        "[[hang]][[hang]]",
    ],
)
def test_cues_that_cannot_both_be_followed_are_refused(text: str) -> None:
    assert "Keep one of them" in fault_of(text).message


@given(st.text(alphabet='[]: \nsayhng-5{}"é', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cues = read(text)
    except Refused as refused:
        fault = refused.fault
    else:
        assert "[[say:" not in cues.text or cues.say is not None
        return

    assert fault.code == "invalid_request"


@given(st.text(max_size=60).filter(lambda text: not set("[]") & set(text)))
def test_what_say_holds_comes_out_as_it_went_in(text: str) -> None:
    assert read(f"before [[say: {text}]] after").say == text
