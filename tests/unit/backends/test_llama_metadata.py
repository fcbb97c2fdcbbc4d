"""What a GGUF header says of a model: layers, heads, windows, states, sizes."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.backends.engines.llama.gguf import WeightsBroken, check_weights, read_metadata
from runtime.backends.engines.llama.metadata import Metadata, describe
from tests.kit.toy_gguf import Value, toy_gguf

LLAMA: dict[str, Value] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": 1536,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS = {
    "token_embd.weight": 96,
    "blk.0.attn_q.weight": 64,
    "blk.1.attn_q.weight": 32,
    "output_norm.weight": 32,
}


def read(tmp_path: Path, values: dict[str, Value], tensors: dict[str, int] = TENSORS) -> Metadata:
    path = tmp_path / "toy.gguf"
    path.write_bytes(toy_gguf(values, tensors))
    return read_metadata(path)


def windows(metadata: Metadata) -> list[int]:
    return [index for index, layer in enumerate(metadata.layers) if layer.has_window]


def test_a_plain_model_is_described_whole(tmp_path: Path) -> None:
    metadata = read(tmp_path, LLAMA)

    assert (metadata.architecture, metadata.context_tokens, metadata.vocabulary) == ("llama", 8192, 3)
    assert (metadata.embedding, metadata.feed_forward, metadata.attention) == (576, 1536, 576)
    assert (metadata.input_bytes, metadata.output_bytes, metadata.weights_bytes) == (96, 32, 224)
    assert [each.weights_bytes for each in metadata.layers] == [64, 32]
    assert (metadata.has_own_output, metadata.has_chat_template) == (False, True)
    (layer, _) = metadata.layers
    assert (layer.heads, layer.key_heads, layer.key_length, layer.value_length) == (9, 3, 64, 64)
    assert (layer.has_window, layer.has_cache, layer.state_numbers) == (False, True, 0)


def test_an_output_with_weights_of_its_own_is_noticed(tmp_path: Path) -> None:
    assert read(tmp_path, LLAMA, {**TENSORS, "output.weight": 64}).has_own_output


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path) -> None:
    metadata = read(tmp_path, {**LLAMA, "llama.attention.head_count_kv": [3, 1]})

    assert [each.key_heads for each in metadata.layers] == [3, 1]


def test_heads_have_the_length_that_is_stated(tmp_path: Path) -> None:
    stated = {"llama.attention.key_length": 128, "llama.attention.value_length": 96}
    (layer, _) = read(tmp_path, {**LLAMA, **stated}).layers

    assert (layer.key_length, layer.value_length) == (128, 96)


def windowed(architecture: str, **more: Value) -> dict[str, Value]:
    return {
        "general.architecture": architecture,
        f"{architecture}.block_count": 6,
        f"{architecture}.attention.sliding_window": 512,
        **{f"{architecture}.attention.{key}": value for key, value in more.items()},
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (windowed("gemma3"), [0, 1, 2, 3, 4]),
        (windowed("gemma2"), [0, 2, 4]),
        (windowed("gemma3", sliding_window_pattern=3), [0, 1, 3, 4]),
        (windowed("unheard-of", sliding_window_pattern=[True, False, True]), [0, 2]),
        (windowed("unheard-of"), []),
        (LLAMA, []),
    ],
)
def test_layers_with_a_window_are_known_by_pattern_or_by_architecture(
    tmp_path: Path, values: dict[str, Value], expected: list[int]
) -> None:
    assert windows(read(tmp_path, values)) == expected


def test_layers_may_share_the_cache_of_earlier_ones(tmp_path: Path) -> None:
    metadata = read(tmp_path, windowed("gemma3n", shared_kv_layers=2, head_count=8))

    assert [each.has_cache for each in metadata.layers] == [True] * 4 + [False] * 2


def test_layers_without_heads_keep_a_recurrent_state_instead(tmp_path: Path) -> None:
    hybrid: dict[str, Value] = {
        "general.architecture": "jamba",
        "jamba.block_count": 2,
        "jamba.attention.head_count": 4,
        "jamba.attention.head_count_kv": [0, 4],
        "jamba.embedding_length": 64,
        "jamba.ssm.conv_kernel": 4,
        "jamba.ssm.inner_size": 128,
        "jamba.ssm.state_size": 16,
    }
    recurrent, attention = read(tmp_path, hybrid).layers

    assert (recurrent.has_cache, recurrent.state_numbers) == (False, 3 * 128 + 16 * 128)
    assert (attention.has_cache, attention.state_numbers) == (True, 0)


def test_values_inside_the_keys_take_no_room_of_their_own(tmp_path: Path) -> None:
    latent: dict[str, Value] = {
        "general.architecture": "deepseek2",
        "deepseek2.block_count": 1,
        "deepseek2.attention.head_count": 16,
        "deepseek2.attention.head_count_kv": 1,
        "deepseek2.attention.key_length": 576,
        "deepseek2.attention.value_length": 512,
        "deepseek2.attention.key_length_mla": 192,
    }
    (layer,) = read(tmp_path, latent).layers

    assert (layer.key_heads, layer.key_length, layer.value_length) == (1, 576, 0)


def test_of_the_experts_those_count_that_are_used_together(tmp_path: Path) -> None:
    experts: dict[str, Value] = {
        **LLAMA,
        "llama.expert_count": 128,
        "llama.expert_used_count": 8,
        "llama.expert_feed_forward_length": 768,
    }
    metadata = read(tmp_path, experts)

    assert (metadata.experts, metadata.experts_used, metadata.feed_forward) == (128, 8, 8 * 768)


def test_pooling_is_told_by_embedding_models_alone(tmp_path: Path) -> None:
    bert: dict[str, Value] = {
        "general.architecture": "bert",
        "bert.pooling_type": 1,
        "bert.attention.causal": False,
    }
    embedder, writer = read(tmp_path, bert), read(tmp_path, LLAMA)

    assert (embedder.pooling, embedder.is_causal, embedder.is_embedding) == (1, False, True)
    assert (writer.pooling, writer.is_causal, writer.is_embedding) == (None, True, False)


def test_weights_in_several_files_are_read_as_one_model(tmp_path: Path) -> None:
    first, second = (tmp_path / f"toy-0000{part}-of-00002.gguf" for part in (1, 2))
    first.write_bytes(toy_gguf(LLAMA, {"token_embd.weight": 96}))
    second.write_bytes(toy_gguf({"split.no": 1}, {"blk.1.ffn_up.weight": 320}))

    metadata = read_metadata(first)

    assert (metadata.architecture, metadata.input_bytes) == ("llama", 96)
    assert [each.weights_bytes for each in metadata.layers] == [0, 320]


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    first = tmp_path / "toy-00001-of-00002.gguf"
    first.write_bytes(toy_gguf(LLAMA, TENSORS))

    with pytest.raises(WeightsBroken, match="does not exist"):
        read_metadata(first)


def test_nothing_at_all_is_described_too() -> None:
    metadata = describe({}, {})

    assert (metadata.architecture, metadata.layers, metadata.weights_bytes) == ("", (), 0)


odd_values = st.one_of(
    st.booleans(),
    st.integers(0, 1 << 32 - 1),
    st.floats(width=32),
    st.text(max_size=5),
    st.lists(st.integers(0, 1 << 32 - 1), max_size=4),
    st.lists(st.booleans(), max_size=4),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(LLAMA)), odd_values))
def test_keys_of_strange_types_and_sizes_never_break_the_reading(
    tmp_path: Path, odd: dict[str, Value]
) -> None:
    metadata = read(tmp_path, {**LLAMA, **odd, "general.architecture": "llama", "llama.block_count": 2})

    assert len(metadata.layers) == 2
    assert all(each.key_length >= 0 and each.key_heads >= 0 for each in metadata.layers)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(4, 600), st.binary(min_size=1, max_size=16))
def test_what_passes_the_check_can_be_described(tmp_path: Path, at: int, noise: bytes) -> None:
    damaged = bytearray(toy_gguf(LLAMA, TENSORS))
    damaged[at : at + len(noise)] = noise
    path = tmp_path / "toy.gguf"
    path.write_bytes(damaged)
    with contextlib.suppress(WeightsBroken):
        check_weights(path)
        read_metadata(path)
