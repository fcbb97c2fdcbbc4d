"""One seq of the scripted engine: plays a script, one token per advance.

    created ──advance──► Started ──advance──► Delta … ──the last token──► Delta, Finished
                   └───► Failed          └──► Failed (a cue, in mid-answer)

The frames of one advance hold at most one Delta, so that a step costs at most one credit.
"""

from collections.abc import Iterator
from itertools import chain, count
from typing import Literal, NamedTuple

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.scripted.answer import Script, decide_script
from runtime.backends.engines.scripted.chances import choose
from runtime.backends.engines.scripted.pieces import split_pieces
from runtime.backends.engines.scripted.stops import Stops
from runtime.backends.engines.scripted.surroundings import Surroundings
from runtime.backends.protocol import Choice, Delta, Failed, Fault, Finished, Generate, Started, ToolCallPiece


class Token(NamedTuple):
    """One token of a script."""

    kind: Literal["reasoning", "text", "call"]
    text: str = ""
    call: ToolCallPiece | None = None


def list_tokens(script: Script, *, is_endless: bool) -> Iterator[Token]:
    """Yield the script's tokens; an endless script says its text again and again."""
    reasoning = (Token("reasoning", piece) for piece in split_pieces(script.reasoning))
    text = (Token("text", piece) for piece in split_pieces(script.text))
    calls = (token for index in range(len(script.calls)) for token in _call_tokens(script, index))
    if is_endless and script.text and not script.calls:
        again = (Token("text", piece) for _ in count() for piece in split_pieces(f" {script.text}"))
        return chain(reasoning, text, again)

    return chain(reasoning, text, calls)


def _call_tokens(script: Script, index: int) -> Iterator[Token]:
    call = script.calls[index]
    yield Token("call", call=ToolCallPiece(index=index, id=call.id, name=call.name, type=call.type))
    for piece in split_pieces(call.arguments):
        yield Token("call", call=ToolCallPiece(index=index, arguments=piece, type=call.type))


class Playback:
    """A seq from its first frame to its last. `advance` is the only door."""

    def __init__(self, request: Generate, context_tokens: int, surroundings: Surroundings) -> None:
        self.seq = request.seq
        self.is_over = False
        self.prompt_tokens = 0
        self._request = request
        self._context_tokens = context_tokens
        self._surroundings = surroundings
        self._stops = Stops(request.sampling.stop)
        self._script: Script | None = None
        self._tokens: Iterator[Token] = iter(())
        self._next: Token | None = None
        self._has_echoed = True
        self._limit = 0
        """Tokens that may be generated: what was asked for, within what the context leaves."""
        self._due_at = 0.0
        self._generated = 0
        self._reasoned = 0
        self._sent = 0
        self._unsent: list[tuple[int, Choice | None]] = []
        """Tokens of text since the last delta: where each begins in the text, and its log probability."""
        self._text_length = 0
        self._passed_length = 0

    def is_due(self, now: float) -> bool:
        """Whether the seq may go on at this monotonic time; only a `slow` cue makes it wait."""
        return now >= self._due_at

    def advance(self, now: float) -> list[StepFrame]:
        """Go on by one token; may produce nothing, where text is held back for a stop string."""
        if self._script is None:
            return self._begin(now)

        if not self._has_echoed:
            return [self._echo(self._script.echo)]

        self._due_at = now + self._script.cues.delay_s
        if self._script.cues.crash_after == self._sent:
            self._surroundings.crash()

        if self._script.cues.fail_after == self._sent:
            return [
                self._fail("engine_failed", f"The script failed after {self._sent} deltas, as its cue asked.")
            ]

        token = self._next
        if token is None or self._generated >= self._limit:
            return [self._finish(is_cut=token is not None)]

        self._generated += 1
        self._next = next(self._tokens, None)
        match token.kind:
            case "reasoning":
                self._reasoned += 1
                return self._conclude([Delta(seq=self.seq, reasoning=token.text)])
            case "text":
                return self._say(token.text)
            case "call":
                assert token.call is not None
                return self._conclude([Delta(seq=self.seq, tool_calls=[token.call])])

    def cancel(self) -> Finished:
        """End the seq."""
        self.is_over = True
        return self._finished("cancelled")

    def _begin(self, now: float) -> list[StepFrame]:
        script = decide_script(self._request)
        if isinstance(script, Fault):
            self.is_over = True
            return [Failed(seq=self.seq, fault=script)]

        self._script = script
        self._act(script)
        if script.cues.fail is not None:
            return [self._fail("engine_failed", script.cues.fail)]

        room = self._context_tokens - script.prompt_tokens
        if room < 1:
            message = (
                f"The prompt takes {script.prompt_tokens} tokens, but the context holds "
                f"{self._context_tokens} and the answer needs one at least. "
                "Shorten the messages, or raise context_tokens of the model."
            )
            is_raw = self._request.prompt is not None
            return [self._fail("context_length_exceeded", message, "prompt" if is_raw else "messages")]

        asked = self._request.sampling.max_tokens
        self._limit = room if asked is None else min(asked, room)
        self._tokens = list_tokens(script, is_endless=self._request.sampling.ignore_eos)
        self._next = next(self._tokens, None)
        self._due_at = now + script.cues.delay_s
        self.prompt_tokens = script.prompt_tokens
        self._has_echoed = not script.echo
        return [Started(seq=self.seq, prompt_tokens=self.prompt_tokens)]

    def _echo(self, prompt: str) -> Delta:
        """Return the prompt as the beginning of the answer; none of it was generated."""
        self._has_echoed = True
        count_of_top = self._request.sampling.logprobs
        told = [] if count_of_top is None else list(enumerate(split_pieces(prompt)))
        choices = [choose(piece, place, count_of_top or 0) for place, piece in told]
        return Delta(seq=self.seq, text=prompt, logprobs=choices, tokens=0)

    def _act(self, script: Script) -> None:
        """Do what cues ask for before the seq starts."""
        if script.cues.is_noisy:
            self._surroundings.make_noise()

        if script.cues.crash_after == 0:
            self._surroundings.crash()

        if script.cues.is_hanging:
            self._surroundings.hang()

        if script.cues.is_freezing:
            self._surroundings.freeze()

    def _say(self, piece: str) -> list[StepFrame]:
        """Generate a piece of text, and send what the stop strings let through."""
        count_of_top = self._request.sampling.logprobs
        choice = None if count_of_top is None else choose(piece, self._generated - 1, count_of_top)
        self._unsent.append((self._text_length, choice))
        self._text_length += len(piece)
        passed = self._stops.feed(piece, is_last=self._is_text_over())
        self._passed_length += len(passed.text)
        if not passed.text and not passed.is_hit:
            return self._conclude([])

        delta = self._send_text(passed.text)
        return [delta, self._finish(is_cut=False)] if passed.is_hit else self._conclude([delta])

    def _send_text(self, text: str) -> Delta:
        """Return a delta for the tokens since the last one, less those that a stop string cut off."""
        choices = [choice for start, choice in self._unsent if choice and start < self._passed_length]
        tokens = len(self._unsent)
        self._unsent = []
        return Delta(seq=self.seq, text=text, logprobs=choices, tokens=tokens)

    def _is_text_over(self) -> bool:
        return self._next is None or self._next.kind != "text" or self._generated >= self._limit

    def _conclude(self, frames: list[Delta]) -> list[StepFrame]:
        """Add the end to an advance's frames where the script, or the room for it, is used up."""
        self._sent += len(frames)
        if self._next is None:
            return [*frames, self._finish(is_cut=False)]

        if self._generated >= self._limit:
            return [*frames, self._finish(is_cut=True)]

        return [*frames]

    def _finish(self, *, is_cut: bool) -> Finished:
        assert self._script is not None
        self.is_over = True
        if is_cut:
            return self._finished("length")

        has_called = bool(self._script.calls) and self._next is None
        return self._finished("tool_calls" if has_called else "stop")

    def _finished(self, reason: Literal["stop", "length", "tool_calls", "cancelled"]) -> Finished:
        return Finished(
            seq=self.seq,
            reason=reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self._generated,
            reasoning_tokens=self._reasoned,
            stop=self._stops.hit,
        )

    def _fail(self, code: str, message: str, param: str | None = None) -> Failed:
        self.is_over = True
        return Failed(seq=self.seq, fault=Fault(code=code, message=message, param=param))
