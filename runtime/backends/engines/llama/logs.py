"""Keeps llama.cpp quiet and remembers its last warnings and errors, which say why a load failed.

llama.cpp has one log callback per process: the filter that was installed last has it.
"""

import sys
from collections import deque

import llama_cpp
from llama_cpp import mtmd_cpp

_WARNING, _ERROR, _CONTINUED = 3, 4, 5
"""Of ggml_log_level; the package's own table of them is out of date."""
_KEPT_LINES = 12


class LogFilter:
    """Writes warnings and errors to stderr, drops the rest. Must live from `install` to `remove`."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._is_kept = False
        self._callback = llama_cpp.llama_log_callback(self._take)

    def install(self) -> None:
        """Take over llama.cpp's log."""
        llama_cpp.llama_log_set(self._callback, None)
        mtmd_cpp.mtmd_helper_log_set(self._callback, None)

    def remove(self) -> None:
        """Give the log back: llama.cpp must not call what may be gone."""
        nobody = llama_cpp.llama_log_callback()  # a null pointer
        llama_cpp.llama_log_set(nobody, None)
        mtmd_cpp.mtmd_helper_log_set(nobody, None)

    def report(self, text: str) -> None:
        """Write a line of our own beside llama.cpp's."""
        sys.stderr.write(f"{text}\n")

    def last_words(self) -> str:
        """Return the last lines that matter, oldest first, as one."""
        return "; ".join(self._lines)

    def _take(self, level: int, text: bytes, _: object) -> None:
        if level != _CONTINUED:
            self._is_kept = level in (_WARNING, _ERROR)

        if not self._is_kept:
            return

        line = text.decode("utf-8", "replace")
        sys.stderr.write(line)
        if level == _CONTINUED and self._lines:
            self._lines[-1] += line.rstrip()
        elif line.strip():
            self._lines.append(line.rstrip())
