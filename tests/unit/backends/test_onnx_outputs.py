"""Which output of an ONNX file is used, by names and shapes alone."""

import pytest

from runtime.backends.engines.onnx.outputs import Given, Output, choose_output, why_nothing_fits

STATES = Given("last_hidden_state", "tensor(float)", ("rows", "tokens", 384))
POOLER = Given("pooler_output", "tensor(float)", ("rows", 384))
SENTENCE = Given("sentence_embedding", "tensor(float16)", ("rows", 384))
LOGITS = Given("logits", "tensor(float)", ("rows", 1))
WORDS = Given("logits", "tensor(float)", ("rows", "tokens", 30522))


@pytest.mark.parametrize(
    ("outputs", "is_classifier", "expected"),
    [
        ([STATES], False, Output("last_hidden_state", "states")),
        ([POOLER, STATES], False, Output("last_hidden_state", "states")),
        ([STATES, SENTENCE], False, Output("sentence_embedding", "vectors")),
        ([STATES._replace(name="output_0")], False, Output("output_0", "states")),
        ([LOGITS], False, Output("logits", "scores")),
        ([LOGITS, STATES], False, Output("logits", "scores")),
        ([LOGITS._replace(name="output")], True, Output("output", "scores")),
        ([LOGITS._replace(name="output", shape=("rows",))], True, Output("output", "scores")),
        ([LOGITS._replace(name="output")], False, Output("output", "scores")),
        ([SENTENCE._replace(name="output")], False, Output("output", "vectors")),
        ([WORDS], False, None),
        ([STATES], True, None),
        ([SENTENCE._replace(type="tensor(uint8)")], False, None),
        ([], False, None),
        ([], True, None),
    ],
)
def test_an_output_is_chosen_by_what_it_can_be(
    outputs: list[Given], is_classifier: bool, expected: Output | None
) -> None:
    assert choose_output(outputs, is_classifier=is_classifier) == expected


def test_what_was_found_is_told_with_the_way_out() -> None:
    told = why_nothing_fits([WORDS], None)
    headless = why_nothing_fits([STATES], "BertForSequenceClassification")

    assert "logits [rows, tokens, 30522]" in told
    assert "Export it" in told
    assert "BertForSequenceClassification" in headless
