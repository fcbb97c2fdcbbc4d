"""Splits an answer that is made of channels (gpt-oss's harmony) while it streams. Pure.

    <|channel|>analysis<|message|>reasoning<|end|><|start|>assistant<|channel|>final<|message|>answer
    <|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{arguments}

The analysis is reasoning, a message to a function is passed on as a call in its usual spelling, and every
other channel is the answer. The marks belong to nobody.
"""

import re

from runtime.backends.engines.llama.calls.arguments import overlap
from runtime.backends.engines.llama.reasoning import Parts

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
CHANNEL_MARKS = ["<|channel|>", _MESSAGE, *_ENDS]
_RECIPIENT = re.compile(r"to=functions\.([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*([a-z]+)")
_HEADER_STARTS = ("<|channel|>", "<|start|>", "<|message|>", "to=", "assistant")


class ChannelSplitter:
    """Text in; reasoning and answer out."""

    def __init__(self) -> None:
        self._held = ""
        self._is_header = True
        self._is_first = True
        self._is_reasoning = False
        self._has_text = False
        self._has_reasoning = False
        self._gap = ""
        """What stands between this message and the one before it in the same stream."""

    @property
    def is_inside(self) -> bool:
        """Whether reasoning is being written."""
        return self._is_reasoning and not self._is_header

    def feed(self, text: str) -> Parts:
        """Take text; return what is decided."""
        self._held += text
        answer = reasoning = ""
        while True:
            if self._is_header:
                head = self._read_header()
                if head is None:
                    return Parts(answer, reasoning)

                answer += head

            shown, is_over = self._read_body()
            if self._is_reasoning:
                reasoning += shown
            else:
                answer += shown

            if not is_over:
                return Parts(answer, reasoning)

    def flush(self) -> Parts:
        """Return what was held back, now that nothing follows; half a header is nobody's."""
        held, self._held = self._held, ""
        if self._is_header:
            return Parts("", "")

        return Parts("", held) if self._is_reasoning else Parts(held, "")

    def _read_header(self) -> str | None:
        """Return what the header adds to the answer; None where it is not whole."""
        if self._is_first and not self._may_be_header():
            self._enter(is_reasoning=False)
            return ""

        header, mark, rest = self._held.partition(_MESSAGE)
        if not mark:
            return None

        self._held = rest
        recipient = _RECIPIENT.search(header)
        if recipient is not None:
            self._enter(is_reasoning=False)
            self._gap = ""
            return f"<|channel|>commentary to=functions.{recipient[1]} <|constrain|>json{_MESSAGE}"

        channel = _CHANNEL.search(header)
        self._enter(is_reasoning=channel is not None and channel[1] == "analysis")
        return ""

    def _may_be_header(self) -> bool:
        start = self._held.lstrip()
        return any(start.startswith(each) or each.startswith(start) for each in _HEADER_STARTS)

    def _enter(self, *, is_reasoning: bool) -> None:
        self._is_header = self._is_first = False
        self._is_reasoning = is_reasoning
        self._gap = "\n\n" if (self._has_reasoning if is_reasoning else self._has_text) else ""

    def _read_body(self) -> tuple[str, bool]:
        """Return what may be shown, and whether the message is over."""
        starts = [(at, end) for end in _ENDS if (at := self._held.find(end)) >= 0]
        if starts:
            at, end = min(starts)
            shown, self._held = self._held[:at], self._held[at + len(end) :]
            self._is_header = True
            return self._shown(shown), True

        kept = max(overlap(self._held, end) for end in _ENDS)
        shown = self._held[: len(self._held) - kept]
        self._held = self._held[len(shown) :]
        return self._shown(shown), False

    def _shown(self, text: str) -> str:
        if not text:
            return ""

        gap, self._gap = self._gap, ""
        if self._is_reasoning:
            self._has_reasoning = True
        else:
            self._has_text = True

        return gap + text
