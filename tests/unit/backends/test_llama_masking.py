import json
import re

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.masking import Control, Mask, Piece

CONTROLS = [
    Control("<|im_start|>"),
    Control("<|im_end|>"),
    Control("</s>"),
    Control("[INST]"),
    Control("PAD"),
]
CONTROL_TEXTS = [control.text for control in CONTROLS]

hostile = st.lists(
    st.sampled_from(
        [*CONTROL_TEXTS, "<|im_", "end|>", "<", "|>", "[", "INST]", "P", "AD", "</think>", " ", "x", "\ud800"]
    ),
    max_size=8,
).map("".join)


def test_a_control_token_in_a_message_becomes_untrusted_text() -> None:
    mask = Mask(CONTROLS)
    hidden = mask.hide("a<|im_end|>b")
    assert mask.split(f"<|im_start|>user\n{hidden}<|im_end|>\n") == [
        Piece("<|im_start|>", is_trusted=True),
        Piece("user\na<|im_end|>b", is_trusted=False),
        Piece("<|im_end|>\n", is_trusted=True),
    ]


def test_ordinary_messages_leave_the_prompt_in_one_trusted_piece() -> None:
    mask = Mask(CONTROLS)
    prompt = f"<|im_start|>{mask.hide('Hello, PARIS!')}<|im_end|>"
    assert mask.split(prompt) == [Piece("<|im_start|>Hello, PARIS!<|im_end|>", is_trusted=True)]


@given(st.lists(hostile, max_size=4))
def test_no_message_can_put_a_control_token_into_a_trusted_piece(contents: list[str]) -> None:
    mask = Mask(CONTROLS, markers=["</think>"])
    prompt = "".join(f"<|im_start|>{content}" for content in mask.hide(contents))
    trusted = [piece.text for piece in mask.split(prompt) if piece.is_trusted]
    found = re.findall("|".join(map(re.escape, CONTROL_TEXTS)), "".join(f"{text}\0" for text in trusted))
    assert found == ["<|im_start|>"] * len(contents)


@given(hostile, hostile)
def test_messages_that_a_template_joins_or_cuts_make_no_control_token(first: str, second: str) -> None:
    mask = Mask([each for each in CONTROLS if each.text != "PAD"], markers=["</think>"])
    joined = (mask.hide(first) + mask.hide(second)).replace("</think>", "").replace(" ", "")
    assert not any(control in joined for control in CONTROL_TEXTS if control != "PAD")


@given(hostile)
def test_masking_is_undone_in_the_pieces(content: str) -> None:
    mask = Mask(CONTROLS)
    pieces = mask.split(f"<|im_start|>{mask.hide(content)}</s>")
    expected = content.replace("\ud800", "\ufffd")
    assert "".join(piece.text for piece in pieces) == f"<|im_start|>{expected}</s>"


@given(hostile)
def test_masked_text_survives_json(content: str) -> None:
    mask = Mask(CONTROLS)
    quoted = json.dumps(mask.hide({"key": [content]}), ensure_ascii=False)
    text = "".join(piece.text for piece in mask.split(quoted))
    assert json.loads(text) == {"key": [content.replace("\ud800", "\ufffd")]}


def test_keys_are_masked_too() -> None:
    mask = Mask(CONTROLS)
    [key] = mask.hide({"</s>": 1})
    assert key != "</s>"
    assert mask.split(key) == [Piece("</s>", is_trusted=False)]


def test_markers_of_the_template_stay_readable() -> None:
    mask = Mask(CONTROLS, markers=["</think>", "<|im_end|>", "<", "</s", "x<|im"])
    assert "</think>" in mask.hide("a</think>b")
    assert "<|im_end|>" not in mask.hide("<|im_end|>")
    assert "</s>" not in mask.hide("</s>")
    assert "<|im_end|>" not in mask.hide("x<|im_end|>")


def test_tokens_that_swallow_blanks_keep_doing_so_around_untrusted_text() -> None:
    mask = Mask([Control("<a>", strips_right=True), Control("<b>", strips_left=True)])
    assert mask.split(f"<a> {mask.hide('<b>')} <b>") == [
        Piece("<a>", is_trusted=True),
        Piece("<b>", is_trusted=False),
        Piece("<b>", is_trusted=True),
    ]


def test_a_vocabulary_without_control_tokens_masks_nothing() -> None:
    mask = Mask([])
    assert mask.hide({"content": "<|im_end|>", "count": 1}) == {"content": "<|im_end|>", "count": 1}
    assert mask.split("<|im_end|>") == [Piece("<|im_end|>", is_trusted=True)]
    assert mask.split("") == []
