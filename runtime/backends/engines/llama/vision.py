"""A model's projector: counts the tokens of pictures and turns them into vectors, by llama.cpp's mtmd.

Pictures come as files and stay files until their turn: until then only their size is needed, and that is
remembered. Vectors are kept too, a few megabytes of them, since conversations show their pictures again.
"""

import ctypes
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.llama.gguf import WeightsBroken, check_weights, read_text
from runtime.backends.engines.llama.logs import LogFilter
from runtime.backends.engines.llama.pictures import (
    Look,
    Part,
    PictureUnreadable,
    check_format,
    digest_of,
    part_of,
)
from runtime.backends.protocol import Fault, Tuning

_VECTORS_BYTES = 64 << 20
"""Of the vectors that are kept: some twenty pictures of a middling model."""
_LOOKS = 1024
"""How many pictures' sizes are remembered."""

_SHAPES = ((32, 32), (4096, 4096), (4096, 256), (256, 4096))
"""Pictures of these widths and heights are measured at load, to know what the largest one takes."""

_PLACED_TYPES = frozenset({"deepseek4v"})
"""Projectors whose pictures have another size at another place of the prompt."""


class PictureFailed(Exception):
    """The projector did not turn a picture into vectors."""


class Vision:
    """Owns the projector."""

    def __init__(self, path: Path, model: Any, tuning: Tuning, logs: LogFilter) -> None:
        """Open the file for a model, which must outlive this. Raises LoadRefused."""
        self._path = path
        self._logs = logs
        self._width = int(llama_cpp.llama_model_n_embd_inp(model))
        self._looks: OrderedDict[str, Look] = OrderedDict()
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._kept_bytes = 0
        self._pointer = self._open(model, tuning)
        try:
            self._check()
            self.sees_ahead = bool(mtmd_cpp.mtmd_decode_use_non_causal(self._pointer, None))
            """Whether the model looks at all of a picture at once: it must be computed in one go then."""
            self.most_tokens = max(self._measure(*shape) for shape in _SHAPES)
            """What the largest part of a picture takes."""
        except LoadRefused:
            self.close()
            raise

    def look(self, data: bytes) -> Look:
        """Return what a picture becomes. Raises PictureUnreadable."""
        digest = digest_of(data)
        known = self._looks.get(digest)
        if known is not None:
            self._looks.move_to_end(digest)
            return known

        with self._chunks(data, is_placeholder=True) as chunks:
            look = self._looks[digest] = Look(digest, tuple(_part(chunk) for chunk in chunks))
        if len(self._looks) > _LOOKS:
            self._looks.popitem(last=False)
        return look

    def vectors(self, key: str, files: Mapping[str, bytes]) -> Any:
        """Return the vectors of a picture, a row per token. `files` are by their digests.

        Takes seconds where they are not kept. Raises PictureFailed.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept

        digest, place = part_of(key)
        try:
            with self._chunks(files[digest], is_placeholder=False) as chunks:
                vectors = self._encode(chunks[place])
        except PictureUnreadable as error:
            raise PictureFailed(f"the picture {error}") from error

        self._keep(key, vectors)
        return vectors

    def close(self) -> None:
        """Free the projector."""
        mtmd_cpp.mtmd_free(self._pointer)

    def _open(self, model: Any, tuning: Tuning) -> Any:
        try:
            check_weights(self._path)
            kind = read_text(self._path, "clip.projector_type")
        except WeightsBroken as error:
            raise self._refused(f"{error}.") from error

        if kind in _PLACED_TYPES:
            raise self._refused(
                f"is of the type '{kind}', whose pictures change with their place: not supported."
            )

        params = mtmd_cpp.mtmd_context_params_default()
        params.use_gpu = tuning.gpu_layers > 0
        params.n_threads = tuning.threads
        params.print_timings = False
        pointer = mtmd_cpp.mtmd_init_from_file(os.fsencode(self._path), model, params)
        if not pointer:
            raise self._refused(f"does not fit the model. llama.cpp says: {self._logs.last_words()}")

        return pointer

    def _check(self) -> None:
        if not mtmd_cpp.mtmd_support_vision(self._pointer):
            raise self._refused("is not for pictures; of projectors those alone can be used.")

        if mtmd_cpp.mtmd_decode_use_mrope(self._pointer):
            raise self._refused(
                "is for a model that counts the places of pictures in several dimensions (M-RoPE, as Qwen-VL "
                "has it), which is not supported."
            )

    def _refused(self, reason: str) -> LoadRefused:
        message = f"The projector {self._path} {reason} Mend the model's projector in lar.toml, or remove it."
        return LoadRefused(Fault(code="model_broken", message=message))

    def _measure(self, width: int, height: int) -> int:
        bitmap = mtmd_cpp.mtmd_bitmap_init(width, height, None)
        try:
            with self._tokenized(bitmap) as chunks:
                return max((part for chunk in chunks if isinstance(part := _part(chunk), int)), default=0)
        except PictureUnreadable as error:
            raise self._refused(f"cannot be used: a picture of {width} by {height} pixels {error}") from error
        finally:
            mtmd_cpp.mtmd_bitmap_free(bitmap)

    def _encode(self, chunk: Any) -> Any:
        if mtmd_cpp.mtmd_encode_chunk(self._pointer, chunk) != 0:
            raise PictureFailed(f"the projector failed: {self._logs.last_words()}")

        count = int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk))
        output = mtmd_cpp.mtmd_get_output_embd(self._pointer)
        return np.ctypeslib.as_array(output, (count, self._width)).copy()

    def _keep(self, key: str, vectors: Any) -> None:
        if vectors.nbytes > _VECTORS_BYTES:
            return

        self._kept[key] = vectors
        self._kept_bytes += vectors.nbytes
        while self._kept_bytes > _VECTORS_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= oldest.nbytes

    @contextmanager
    def _chunks(self, data: bytes, *, is_placeholder: bool) -> Iterator[list[Any]]:
        """Decode a picture and cut it as the projector wants it; a placeholder has only its size."""
        check_format(data)
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        bitmap = mtmd_cpp.mtmd_helper_bitmap_init_from_buf(self._pointer, buffer, len(data), is_placeholder)
        if not bitmap:
            raise PictureUnreadable("is damaged: it cannot be decoded. Send it whole.")

        try:
            with self._tokenized(bitmap) as chunks:
                yield chunks
        finally:
            mtmd_cpp.mtmd_bitmap_free(bitmap)

    @contextmanager
    def _tokenized(self, bitmap: Any) -> Iterator[list[Any]]:
        marker = mtmd_cpp.mtmd_get_marker(self._pointer) or b""
        text = mtmd_cpp.mtmd_input_text(marker, len(marker), False, True)
        bitmaps = (ctypes.c_void_p * 1)(bitmap)
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        try:
            status = mtmd_cpp.mtmd_tokenize(self._pointer, chunks, ctypes.byref(text), bitmaps, 1)
            if status != 0:
                raise PictureUnreadable(f"cannot be prepared for this model: {self._logs.last_words()}")

            count = int(mtmd_cpp.mtmd_input_chunks_size(chunks))
            yield [mtmd_cpp.mtmd_input_chunks_get(chunks, place) for place in range(count)]
        finally:
            mtmd_cpp.mtmd_input_chunks_free(chunks)


def _part(chunk: Any) -> Part:
    if mtmd_cpp.mtmd_input_chunk_get_type(chunk) != mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_TEXT:
        return int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk))

    count = ctypes.c_size_t()
    tokens = mtmd_cpp.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
    return tuple(tokens[: count.value])
