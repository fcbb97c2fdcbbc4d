"""Answers to questions about tokens: no model is asked, only its vocabulary."""

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.llama.intake import Intake
from runtime.backends.engines.llama.vocabulary import Vocabulary
from runtime.backends.protocol import (
    Delta,
    Detokenize,
    Failed,
    Fault,
    Finished,
    Started,
    Tokenize,
    Tokenized,
)

_NO_TOKEN = -1


def answer_tokenize(request: Tokenize, vocabulary: Vocabulary, intake: Intake) -> list[StepFrame]:
    """Return the tokens of a text, or of a chat's prompt."""
    if request.chat is not None:
        counted = intake.count(request.chat)
        if isinstance(counted, Fault):
            return [Failed(seq=request.seq, fault=counted)]
        tokens = counted
    else:
        tokens = vocabulary.encode(
            request.text or "", is_trusted=request.parses_special, adds_special=request.adds_special
        )

    # Pictures have no tokens of the vocabulary: each of theirs is told as -1.
    tokens = [max(token, _NO_TOKEN) for token in tokens]
    pieces = [b"" if token == _NO_TOKEN else vocabulary.name(token) for token in tokens]
    return _framed(request.seq, Tokenized(seq=request.seq, tokens=tokens, pieces=pieces), len(tokens))


def answer_detokenize(request: Detokenize, vocabulary: Vocabulary) -> list[StepFrame]:
    """Return the text of tokens, control tokens by their names."""
    strange = next((token for token in request.tokens if not 0 <= token < vocabulary.size), None)
    if strange is not None:
        message = f"{strange} is no token of this model; its tokens go from 0 to {vocabulary.size - 1}."
        return [Failed(seq=request.seq, fault=Fault(code="invalid_request", message=message, param="tokens"))]

    text = b"".join(vocabulary.name(token) for token in request.tokens).decode("utf-8", "replace")
    return _framed(request.seq, Delta(seq=request.seq, text=text, tokens=0), len(request.tokens))


def _framed(seq: int, content: Tokenized | Delta, tokens: int) -> list[StepFrame]:
    started = Started(seq=seq, prompt_tokens=tokens)
    return [started, content, Finished(seq=seq, reason="stop", prompt_tokens=tokens, completion_tokens=0)]
