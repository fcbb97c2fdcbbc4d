"""Estimates against what llama.cpp was seen to take, and the laws that any estimate keeps."""

from dataclasses import replace
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.metadata import Layer, Metadata, Value, describe
from runtime.backends.estimate import decide_shape, estimate, estimate_from_size, first_on_device
from runtime.backends.protocol import Tuning
from runtime.core.settings import MIB, KvType

KV_TYPES = get_args(KvType)


def model(
    layers: int,
    *,
    key_heads: int,
    length: int,
    heads: int,
    windows: frozenset[int] = frozenset(),
    **about: int,
) -> Metadata:
    return Metadata(
        architecture="toy",
        layers=tuple(
            Layer(
                weights_bytes=about["layer_bytes"],
                heads=heads,
                key_heads=key_heads,
                key_length=length,
                value_length=length,
                has_window=index in windows,
                has_cache=True,
                state_numbers=0,
            )
            for index in range(layers)
        ),
        input_bytes=about["input_bytes"],
        output_bytes=2560,
        has_own_output=False,
        embedding=about["embedding"],
        feed_forward=about["feed_forward"],
        vocabulary=about["vocabulary"],
        context_tokens=about["context"],
        window_tokens=512 if windows else 0,
        experts=0,
        experts_used=0,
        pooling=None,
        is_causal=True,
        has_chat_template=True,
    )


SMOLLM2 = model(
    30,
    key_heads=3,
    length=64,
    heads=9,
    layer_bytes=2_216_448,
    input_bytes=30_081_024,
    embedding=576,
    feed_forward=1536,
    vocabulary=49_152,
    context=8192,
)
GEMMA3 = model(
    18,
    key_heads=1,
    length=256,
    heads=4,
    windows=frozenset(range(18)) - {5, 11, 17},
    layer_bytes=3_795_342,
    input_bytes=178_257_920,
    embedding=640,
    feed_forward=2048,
    vocabulary=262_144,
    context=32_768,
)


@pytest.mark.parametrize(
    ("metadata", "tuning", "cache_mib"),
    [
        (SMOLLM2, Tuning(context_tokens=4096), 90.0),
        (SMOLLM2, Tuning(context_tokens=16384), 360.0),
        (SMOLLM2, Tuning(context_tokens=4096, kv_type="q8_0"), 47.81),
        (SMOLLM2, Tuning(context_tokens=4096, kv_type="q4_0"), 25.31),
        (SMOLLM2, Tuning(context_tokens=4096, sequences=1), 90.0),
        (GEMMA3, Tuning(context_tokens=4096), 72.0),
        (GEMMA3, Tuning(context_tokens=4096, kv_type="q8_0"), 38.26),
        (GEMMA3, Tuning(context_tokens=16384), 115.5),
        (GEMMA3, Tuning(context_tokens=16384, sequences=4, kv_type="q8_0"), 45.42),
        (GEMMA3, Tuning(context_tokens=2048, sequences=2), 28.5),
    ],
)
def test_a_cache_takes_what_llama_cpp_said_it_took(
    metadata: Metadata, tuning: Tuning, cache_mib: float
) -> None:
    found = estimate(metadata, tuning, has_whole_windows=False)

    assert found.cache_bytes / MIB == pytest.approx(cache_mib, abs=0.01)


@pytest.mark.parametrize(("context_tokens", "cache_mib"), [(4096, 72.0), (8192, 144.0), (16384, 288.0)])
def test_windows_that_are_kept_whole_grow_with_the_context(context_tokens: int, cache_mib: float) -> None:
    found = estimate(GEMMA3, Tuning(context_tokens=context_tokens), has_whole_windows=True)

    assert found.cache_bytes / MIB == pytest.approx(cache_mib, abs=0.01)


@pytest.mark.parametrize(
    ("metadata", "tuning", "seen_mib"),
    [
        (SMOLLM2, Tuning(context_tokens=4096), 290),
        (SMOLLM2, Tuning(context_tokens=16384), 563),
        (SMOLLM2, Tuning(context_tokens=4096, kv_type="q8_0"), 247),
        (SMOLLM2, Tuning(context_tokens=16384, kv_type="q4_0"), 300),
        (GEMMA3, Tuning(context_tokens=4096), 557),
        (GEMMA3, Tuning(context_tokens=16384), 601),
        (GEMMA3, Tuning(context_tokens=16384, sequences=4, kv_type="q8_0"), 526),
        (GEMMA3, Tuning(context_tokens=2048, sequences=2), 503),
    ],
)
def test_a_whole_estimate_is_near_what_a_process_was_seen_to_hold(
    metadata: Metadata, tuning: Tuning, seen_mib: float
) -> None:
    """The figures are the resident sizes of processes that had filled most of their context."""
    found = estimate(metadata, tuning, has_whole_windows=False)

    assert 0.95 <= found.total_bytes / MIB / seen_mib <= 1.15


def test_a_context_is_never_longer_than_what_all_sequences_could_use() -> None:
    tuning = Tuning(context_tokens=100_000, sequences=2)

    assert decide_shape(SMOLLM2, tuning).whole_cells == 2 * 8192


def test_what_is_kept_besides_the_context_counts() -> None:
    plain, kept = (estimate(SMOLLM2, Tuning(cache_ram_bytes=count), count) for count in (0, 64 * MIB))

    assert kept.total_bytes - plain.total_bytes == 2 * 64 * MIB, "prefixes, and adapter files of that size"


def test_a_recurrent_state_grows_with_the_sequences_and_not_with_the_context() -> None:
    layer = Layer(
        weights_bytes=0,
        heads=0,
        key_heads=0,
        key_length=0,
        value_length=0,
        has_window=False,
        has_cache=False,
        state_numbers=1000,
    )
    recurrent = replace(SMOLLM2, layers=(layer,))

    for context_tokens in (256, 8192):
        tuning = Tuning(context_tokens=context_tokens, sequences=3)
        assert estimate(recurrent, tuning).cache_bytes == 3 * 1000 * 4


def test_an_embedding_model_that_looks_both_ways_keeps_no_context() -> None:
    encoder = replace(SMOLLM2, is_causal=False, pooling=1, context_tokens=512)
    tuning = Tuning(context_tokens=8192, batch_tokens=128, cache_ram_bytes=1 << 30)

    assert decide_shape(encoder, tuning).rows == 512
    assert estimate(encoder, tuning).cache_bytes == 0


def test_an_embedding_model_that_generates_inside_keeps_the_longest_input() -> None:
    decoder = replace(SMOLLM2, pooling=3)

    assert decide_shape(decoder, Tuning(context_tokens=1000)).whole_cells == 1024


@pytest.mark.parametrize(
    ("gpu_layers", "first"), [(0, 30), (1, 30), (2, 29), (30, 1), (31, 0), (99, 0), (-1, 0)]
)
def test_an_accelerator_takes_the_output_and_then_the_last_layers(gpu_layers: int, first: int) -> None:
    assert first_on_device(SMOLLM2, gpu_layers) == first


def test_layers_on_an_accelerator_leave_main_memory_with_their_cache() -> None:
    nothing, some, all_of_it = (estimate(SMOLLM2, Tuning(gpu_layers=count)) for count in (0, 11, -1))

    assert nothing.device_bytes == 0 < some.device_bytes < all_of_it.device_bytes
    assert (all_of_it.weights_bytes, all_of_it.cache_bytes) == (SMOLLM2.input_bytes, 0)
    assert some.cache_bytes == nothing.cache_bytes * 20 // 30
    assert some.weights_bytes + 10 * 2_216_448 + SMOLLM2.output_bytes == nothing.weights_bytes


def test_weights_that_tell_nothing_are_judged_by_their_size() -> None:
    small, large = estimate_from_size(10 * MIB), estimate_from_size(100 * MIB)

    assert 10 * MIB < small.total_bytes < large.total_bytes


tunings = st.builds(
    Tuning,
    context_tokens=st.integers(1, 200_000),
    sequences=st.integers(1, 64),
    batch_tokens=st.integers(1, 4096),
    kv_type=st.sampled_from(KV_TYPES),
    gpu_layers=st.integers(-1, 40),
    speculation=st.booleans(),
    cache_ram_bytes=st.integers(0, 1 << 30),
)
models = st.sampled_from([SMOLLM2, GEMMA3])


@given(models, tunings, st.integers(0, 100_000))
def test_a_longer_context_never_takes_less(metadata: Metadata, tuning: Tuning, more: int) -> None:
    longer = msgspec.structs.replace(tuning, context_tokens=tuning.context_tokens + more)

    assert_not_less(metadata, tuning, longer)


@given(models, tunings, st.integers(0, 32))
def test_more_sequences_never_take_less(metadata: Metadata, tuning: Tuning, more: int) -> None:
    assert_not_less(metadata, tuning, msgspec.structs.replace(tuning, sequences=tuning.sequences + more))


@given(models, tunings, st.integers(0, 4096))
def test_longer_batches_never_take_less(metadata: Metadata, tuning: Tuning, more: int) -> None:
    assert_not_less(
        metadata, tuning, msgspec.structs.replace(tuning, batch_tokens=tuning.batch_tokens + more)
    )


@given(models, tunings)
def test_a_more_exact_cache_never_takes_less(metadata: Metadata, tuning: Tuning) -> None:
    sizes = [
        estimate(metadata, msgspec.structs.replace(tuning, kv_type=each)).cache_bytes for each in KV_TYPES
    ]

    assert sizes == sorted(sizes, reverse=True)


@given(models, tunings)
def test_moving_layers_to_an_accelerator_moves_their_memory(metadata: Metadata, tuning: Tuning) -> None:
    layers = len(metadata.layers) + 1
    steps = [
        estimate(metadata, msgspec.structs.replace(tuning, gpu_layers=each)) for each in range(layers + 1)
    ]

    assert [each.device_bytes for each in steps] == sorted(each.device_bytes for each in steps)
    assert [each.total_bytes for each in steps] == sorted((each.total_bytes for each in steps), reverse=True)


def assert_not_less(metadata: Metadata, tuning: Tuning, larger: Tuning) -> None:
    before, after = estimate(metadata, tuning), estimate(metadata, larger)
    assert after.total_bytes >= before.total_bytes
    assert after.device_bytes >= before.device_bytes


def toy(architecture: str, **about: Value) -> Metadata:
    values = {f"{architecture}.{key.replace('__', '.')}": value for key, value in about.items()}
    return describe({"general.architecture": architecture, **values}, {})


GEMMA2 = toy(
    "gemma2",
    block_count=6,
    context_length=8192,
    embedding_length=256,
    attention__head_count=8,
    attention__head_count_kv=4,
    attention__key_length=64,
    attention__value_length=64,
    attention__sliding_window=1024,
)
MAMBA = toy(
    "mamba",
    block_count=4,
    context_length=8192,
    embedding_length=256,
    attention__head_count=0,
    ssm__conv_kernel=4,
    ssm__inner_size=512,
    ssm__state_size=16,
)
DEEPSEEK2 = toy(
    "deepseek2",
    block_count=3,
    context_length=8192,
    embedding_length=256,
    attention__head_count=8,
    attention__head_count_kv=1,
    attention__key_length=576,
    attention__value_length=512,
    attention__key_length_mla=192,
)


@pytest.mark.parametrize(("metadata", "cache_mib"), [(GEMMA2, 37.5), (MAMBA, 0.59), (DEEPSEEK2, 27.0)])
def test_other_layouts_take_what_llama_cpp_said_of_files_with_these_keys(
    metadata: Metadata, cache_mib: float
) -> None:
    tuning = Tuning(context_tokens=8192, sequences=4)

    found = estimate(metadata, tuning, has_whole_windows=False)

    assert found.cache_bytes / MIB == pytest.approx(cache_mib, abs=0.01)
