"""Arguments as they stream in."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.calls.arguments import JsonScanner, RawScanner, Scanner, TagScanner

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab{}[]"\\ é\n', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab}", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
texts = st.text('ab \n<>\\"é', max_size=12)


def scan(scanner: Scanner, text: str, data: st.DataObject) -> tuple[str, str]:
    """Feed the text in pieces; return the arguments and what is left."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    shown, rest = "", ""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        rest += text[start:end]
        if not scanner.is_done:
            scanned = scanner.feed(rest)
            shown, rest = shown + scanned.arguments, scanned.rest

    return shown, rest


@given(
    st.dictionaries(st.text("ab{", max_size=3), values, max_size=3), st.text("}] x", max_size=3), st.data()
)
def test_an_object_ends_where_its_brace_closes(value: dict[str, Any], rest: str, data: st.DataObject) -> None:
    scanner = JsonScanner()
    text = json.dumps(value, ensure_ascii=False)
    assert scan(scanner, f" \n{text}{rest}", data) == (text, rest)
    assert scanner.is_done


def test_what_is_no_object_is_known_at_once() -> None:
    scanner = JsonScanner()
    assert scanner.feed(" ") == ("", "")
    assert not scanner.is_lost
    assert scanner.feed(" [1]") == ("", "[1]")
    assert scanner.is_lost


@given(texts.filter(lambda text: "</custom_call>" not in text), st.data())
def test_raw_input_is_all_that_stands_before_the_mark(text: str, data: st.DataObject) -> None:
    scanner = RawScanner()
    assert scan(scanner, f"\n{text}\n</custom_call>rest", data) == (text, "rest")


@given(st.dictionaries(st.sampled_from("abcd"), texts, max_size=4), st.data())
def test_texts_in_tags_become_a_json_object(value: dict[str, str], data: st.DataObject) -> None:
    scanner = TagScanner(frozenset("abcd"))
    text = "".join(f"<parameter={key}>\n{each}\n</parameter>\n" for key, each in value.items())
    shown, rest = scan(scanner, f"{text}</function>", data)
    assert json.loads(shown) == value
    assert shown == json.dumps(value, ensure_ascii=False)
    assert rest == "</function>"


@given(st.dictionaries(st.sampled_from("abcd"), values, max_size=4), st.data())
def test_values_in_tags_are_json_where_they_can_be(value: dict[str, Any], data: st.DataObject) -> None:
    scanner = TagScanner()
    spelled = {key: json.dumps(each, ensure_ascii=False) for key, each in value.items()}
    text = "".join(f"<parameter={key}>\n{each}\n</parameter>\n" for key, each in spelled.items())
    shown, _ = scan(scanner, f"{text}</function>", data)
    assert json.loads(shown) == value


def test_a_value_that_is_no_json_is_a_text() -> None:
    scanner = TagScanner()
    scanned = scanner.feed("<parameter=a>\nParis\n</parameter>\n</function>")
    assert scanned == ('{"a": "Paris"}', "</function>")
