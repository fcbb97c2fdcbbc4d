"""Which of what an ONNX file gives is used: states of tokens, vectors or scores. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Kind = Literal["states", "vectors", "scores"]
"""A state for each token, a vector for each row, or labels for each row."""

_STATES = ("last_hidden_state", "token_embeddings")
_VECTORS = ("sentence_embedding", "sentence_embeddings", "text_embeds", "embeddings", "embedding")
_SCORES = "logits"
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
_RANKER_LABELS = 2
"""A ranker has one, or two of which the second is that the document fits."""


class Given(NamedTuple):
    """Something that the file takes or gives."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]
    """A number where it is fixed."""

    def __str__(self) -> str:
        return f"{self.name} [{', '.join('?' if each is None else str(each) for each in self.shape)}]"


class Output(NamedTuple):
    """What is used of all that the file gives."""

    name: str
    kind: Kind


def choose_output(outputs: Sequence[Given], *, is_classifier: bool) -> Output | None:
    """Return what is used of what a file gives; None where nothing of it makes vectors or scores. Pure."""
    flat = [each.name for each in outputs if each.type in _FLOATS and len(each.shape) in (1, 2)]
    deep = [each.name for each in outputs if each.type in _FLOATS and len(each.shape) == 3]
    if is_classifier:
        return Output(_SCORES if _SCORES in flat else flat[0], "scores") if flat else None

    vector = next((name for name in _VECTORS if name in flat), None)
    if vector is not None:
        return Output(vector, "vectors")

    if _SCORES in flat:
        return Output(_SCORES, "scores")

    # Logits for each token are words that a language model guesses, and no states.
    states = [*(name for name in _STATES if name in deep), *(name for name in deep if name != _SCORES)]
    if states:
        return Output(states[0], "states")

    if len(flat) == 1 == len(outputs):
        width = outputs[0].shape[-1] if len(outputs[0].shape) > 1 else 1
        is_scored = isinstance(width, int) and width <= _RANKER_LABELS
        return Output(flat[0], "scores" if is_scored else "vectors")

    return None


def why_nothing_fits(outputs: Sequence[Given], classifier: str | None) -> str:
    """Return what a file lacks, and how to export it again. Pure."""
    listed = ", ".join(map(str, outputs))
    if classifier is not None:
        return (
            f"lacks the head of a ranker: its config.json says {classifier}, but it gives {listed}. "
            "Export it for text classification."
        )

    return (
        f"is no embedding or ranking model: it gives {listed}. Needed is one of last_hidden_state, "
        "sentence_embedding, or logits of 1 or 2 labels. Export it for feature extraction or text "
        "classification."
    )
