"""Finds an engine by name inside a worker process.

Imports happen here, when asked for: only the environment of that engine holds its library.
"""

from runtime.backends.engines.contract import Engine


def create_engine(name: str) -> Engine:
    """Return a new engine, not loaded yet.

    Raises ImportError where its library is missing, KeyError if the name is unknown.
    """
    match name:
        case "llama":
            from runtime.backends.engines.llama.engine import (
                LlamaEngine,
            )  # the llama environment only

            return LlamaEngine()
        case "onnx":
            from runtime.backends.engines.onnx.engine import OnnxEngine  # the onnx environment only

            return OnnxEngine()
        case "scripted":
            from runtime.backends.engines.scripted.engine import (
                ScriptedEngine,
            )  # costs nothing elsewhere

            return ScriptedEngine()
        case _:
            raise KeyError(name)
