"""Templates of prompts: filled with what a request gives, else with their own defaults."""

import pytest

from runtime.api.errors import Refused
from runtime.api.responses.prompts import PromptTemplate, fill_prompt

TEMPLATE = PromptTemplate(
    id="weather",
    instructions="Speak {{language}}.",
    input=({"role": "user", "content": "How is it in {{city}}?"},),
    defaults={"city": "Lisbon", "language": "English"},
)


def test_defaults_stand_where_a_request_gives_nothing() -> None:
    filled = fill_prompt(TEMPLATE, {"city": "Porto"})

    assert filled.instructions == "Speak English."
    assert filled.items == [{"role": "user", "content": "How is it in Porto?"}]


def test_a_variable_without_either_is_named() -> None:
    with pytest.raises(Refused, match="Missing prompt variable: 'city'") as caught:
        fill_prompt(PromptTemplate(id="x", instructions="{{city}}"), {})

    assert caught.value.refusal.param == "prompt.variables.city"


def test_a_picture_stands_in_messages_and_never_in_instructions() -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}

    filled = fill_prompt(TEMPLATE, {"city": picture})

    assert filled.items[0]["content"][1] == picture
    with pytest.raises(Refused, match="must be a text"):
        fill_prompt(TEMPLATE, {"language": picture})
