"""Frames survive any split of the stream, and nothing else gets through."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.framing import MAX_FRAME_BYTES, FrameDecoder, FrameTooLarge, encode_frame


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(marks)]


@given(payloads=st.lists(st.binary(max_size=300)), cuts=st.lists(st.integers(0, 10_000)))
def test_payloads_come_back_whole_however_the_stream_is_split(payloads: list[bytes], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    stream = b"".join(encode_frame(payload) for payload in payloads)

    received = [payload for chunk in split(stream, cuts) for payload in decoder.feed(chunk)]

    assert received == payloads
    assert decoder.pending_bytes == 0


@given(payload=st.binary(min_size=1, max_size=50))
def test_a_cut_stream_leaves_its_rest_pending_and_yields_nothing_broken(payload: bytes) -> None:
    decoder = FrameDecoder()
    frame = encode_frame(payload)

    assert decoder.feed(frame[:-1]) == []
    assert decoder.pending_bytes == len(frame) - 1
    assert decoder.feed(frame[-1:]) == [payload]


def test_an_announced_length_beyond_the_limit_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(FrameTooLarge, match="announces"):
        FrameDecoder().feed(struct.pack(">I", MAX_FRAME_BYTES + 1))


def test_a_payload_beyond_the_limit_is_not_encoded() -> None:
    with pytest.raises(FrameTooLarge):
        encode_frame(bytes(MAX_FRAME_BYTES + 1))


def test_text_on_the_pipe_is_noise_not_a_frame() -> None:
    with pytest.raises(FrameTooLarge):
        FrameDecoder().feed(b"hello from a C library\n")
