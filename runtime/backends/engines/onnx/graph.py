"""One ONNX file opened by ONNX Runtime: what it takes, and the one output that is computed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from runtime.backends.engines.embedding.encoder import EncodeFailed
from runtime.backends.engines.onnx.outputs import Given, Output, choose_output, why_nothing_fits
from runtime.backends.engines.onnx.pooling import Floats
from runtime.backends.engines.onnx.refusal import first_line, refused

Ints = NDArray[np.int64]

IDS, MASK, TYPES, POSITIONS = "input_ids", "attention_mask", "token_type_ids", "position_ids"
_NUMBERS = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_ERRORS_ONLY = 3
"""Of onnxruntime's log levels."""

RUNTIME_ERRORS = (
    raised.EPFail,
    raised.Fail,
    raised.InvalidArgument,
    raised.InvalidGraph,
    raised.InvalidProtobuf,
    raised.NoModel,
    raised.NoSuchFile,
    raised.NotImplemented,
    raised.RuntimeException,
    RuntimeError,
)
"""What the library raises for a file or a batch that it cannot do; they share no root of their own."""


class Graph:
    """An open file with the output that is used. Made by `open_graph`."""

    def __init__(
        self, session: onnxruntime.InferenceSession, inputs: Sequence[Given], output: Output
    ) -> None:
        self._session = session
        self._types = {each.name: _NUMBERS[each.type] for each in inputs}
        self.output = output

    @property
    def takes_types(self) -> bool:
        """Whether it asks to which text of a pair a token belongs."""
        return TYPES in self._types

    def run(self, ids: Ints, mask: Ints, types: Ints) -> Floats:
        """Compute a batch, as 32-bit floats. Raises EncodeFailed."""
        positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
        told = {IDS: ids, MASK: mask, TYPES: types, POSITIONS: positions}
        feed = {name: told[name].astype(number) for name, number in self._types.items()}
        try:
            (found,) = self._session.run([self.output.name], feed)
        except RUNTIME_ERRORS as problem:
            raise EncodeFailed(first_line(problem)) from problem

        return np.asarray(found, dtype=np.float32)


def open_graph(path: Path, threads: int, classifier: str | None) -> Graph:
    """Open the file; `classifier` is what its config.json calls it, if it classifies. Raises LoadRefused."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Between two steps no thread waits in a loop: other workers need the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as problem:
        raise refused(f"{path} cannot be loaded: {first_line(problem)}. Download it again.") from problem

    inputs = [_given(each) for each in session.get_inputs()]
    outputs = [_given(each) for each in session.get_outputs()]
    _check_inputs(path, inputs)
    output = choose_output(outputs, is_classifier=classifier is not None)
    if output is None:
        raise refused(f"{path} {why_nothing_fits(outputs, classifier)}")

    return Graph(session, inputs, output)


def _check_inputs(path: Path, inputs: Sequence[Given]) -> None:
    names = {each.name for each in inputs}
    if not {IDS, MASK} <= names <= {IDS, MASK, TYPES, POSITIONS}:
        raise refused(
            f"{path} is no text embedding or ranking model: it takes {', '.join(sorted(names))}. "
            f"Needed are {IDS} and {MASK}, and {TYPES} and {POSITIONS} may be. Export it for "
            "feature extraction or text classification."
        )

    foreign = next((each for each in inputs if each.type not in _NUMBERS), None)
    if foreign is not None:
        raise refused(f"{path} takes {foreign.name} as {foreign.type}; export it to take 64-bit integers.")

    fixed = next((each for each in inputs if any(isinstance(size, int) for size in each.shape)), None)
    if fixed is not None:
        raise refused(f"{path} takes {fixed} and no other size. Export it with dynamic axes.")


def _given(node: onnxruntime.NodeArg) -> Given:
    return Given(str(node.name), str(node.type), tuple(node.shape))
