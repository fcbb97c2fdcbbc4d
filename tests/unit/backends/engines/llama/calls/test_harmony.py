"""Channels of an answer, taken apart."""

import pytest

from runtime.backends.engines.llama.calls.harmony import ChannelSplitter
from runtime.backends.engines.llama.reasoning import Parts


def split(pieces: list[str]) -> Parts:
    splitter = ChannelSplitter()
    parts = [*map(splitter.feed, pieces), splitter.flush()]
    return Parts("".join(part.text for part in parts), "".join(part.reasoning for part in parts))


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<|channel|>final<|message|>Yes.", "Yes.", ""),
        ("<|channel|>final<|message|>Yes.<|return|>", "Yes.", ""),
        ("<|channel|>analysis<|message|>Hm.<|end|>", "", "Hm."),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>analysis<|message|>So.<|end|>",
            "",
            "Hm.\n\nSo.",
        ),
        (
            "<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            "Wait.\n\nYes.",
            "",
        ),
        (
            "<|channel|>commentary to=functions.f<|message|>{}<|call|>",
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}",
            "",
        ),
        (
            " to=functions.f<|channel|>commentary json<|message|>{}",
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}",
            "",
        ),
        ("No channel at all.", "No channel at all.", ""),
        ("a <|channel|>", "a <|channel|>", ""),
        ("<|channel|>analy", "", ""),
        ("<|channel|>final<|message|>a <|en", "a <|en", ""),
        ("", "", ""),
    ],
)
def test_each_channel_goes_where_it_belongs_however_it_arrives(
    text: str, answer: str, reasoning: str
) -> None:
    assert split([text]) == Parts(answer, reasoning)
    assert split(list(text)) == Parts(answer, reasoning)


def test_the_analysis_counts_as_reasoning_while_it_is_written() -> None:
    splitter = ChannelSplitter()
    seen = []
    for text in ("<|channel|>analysis", "<|message|>", "Hm.", "<|end|>", "<|start|>assistant"):
        splitter.feed(text)
        seen.append(splitter.is_inside)

    assert seen == [False, True, True, False, False]
