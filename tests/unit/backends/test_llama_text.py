from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.text import StopCutter, Utf8Decoder

stop_strings = st.lists(st.text("ab<", min_size=1, max_size=4), max_size=4)
texts = st.lists(st.text("ab<c", max_size=5), max_size=12)


def cut_at_once(text: str, stops: list[str]) -> str:
    """The law in one place: read on until some stop string is complete, then cut before the longest such."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(len(stop) for stop in complete)]

    return text


@given(st.lists(st.binary(max_size=4), max_size=12))
def test_bytes_decoded_piece_by_piece_equal_the_bytes_decoded_whole(pieces: list[bytes]) -> None:
    decoder = Utf8Decoder()
    shown = [decoder.feed(piece) for piece in pieces]
    assert "".join(shown) + decoder.flush() == b"".join(pieces).decode("utf-8", "replace")


@given(st.text(), st.data())
def test_whole_characters_survive_any_cut_of_their_bytes(text: str, data: st.DataObject) -> None:
    encoded = text.encode()
    at = data.draw(st.integers(0, len(encoded)))
    decoder = Utf8Decoder()
    first, second = decoder.feed(encoded[:at]), decoder.feed(encoded[at:])
    assert first + second == text
    assert decoder.flush() == ""


def test_an_unfinished_character_shows_only_at_the_end() -> None:
    decoder = Utf8Decoder()
    assert decoder.feed("é".encode()[:1]) == ""
    assert decoder.flush() == "\ufffd"


@given(texts, stop_strings)
def test_a_stream_is_cut_where_its_whole_text_would_be(pieces: list[str], stops: list[str]) -> None:
    cutter = StopCutter(stops)
    shown = "".join(cutter.feed(piece) for piece in pieces)
    shown += cutter.flush()
    assert shown == cut_at_once("".join(pieces), stops)
    assert cutter.is_stopped == (shown != "".join(pieces) or any(s in "".join(pieces) for s in stops))


@given(texts, stop_strings)
def test_what_was_shown_never_holds_the_beginning_of_a_stop_string_that_completes(
    pieces: list[str], stops: list[str]
) -> None:
    cutter = StopCutter(stops)
    shown = ""
    final = cut_at_once("".join(pieces), stops)
    for piece in pieces:
        shown += cutter.feed(piece)
        assert final.startswith(shown)


def test_text_that_cannot_become_a_stop_string_is_shown_at_once() -> None:
    cutter = StopCutter(["END"])
    assert cutter.feed("the E") == "the "
    assert cutter.feed("gg") == "Egg"


def test_nothing_follows_a_stop_string() -> None:
    cutter = StopCutter(["\n\n"])
    assert cutter.feed("one\n") == "one"
    assert cutter.feed("\ntwo") == ""
    assert cutter.is_stopped
    assert cutter.feed("three") == ""
    assert cutter.flush() == ""


def test_empty_stop_strings_stop_nothing() -> None:
    cutter = StopCutter([""])
    assert cutter.feed("abc") == "abc"
    assert not cutter.is_stopped


def test_a_cutter_tells_which_stop_string_it_was() -> None:
    cutter = StopCutter(["cd", "bcd", "x"])
    assert (cutter.feed("ab"), cutter.stop, cutter.feed("cde"), cutter.stop) == ("a", None, "", "bcd")
