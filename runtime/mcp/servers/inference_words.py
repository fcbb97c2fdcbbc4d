"""What the tools of `inference` take and give."""

from typing import Annotated, Any, Literal

import msgspec

from runtime.mcp.servers.offering import told

Model = Annotated[str | None, told("Id of the model, as list_models tells; left out: the default one")]
Text = Annotated[str, told("A text", min_length=1, max_length=100_000)]


class ListGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of list_models."""

    feature: Annotated[
        Literal["chat", "embeddings", "rerank", "images", "tools", "reasoning"] | None,
        told("Only models that can do this"),
    ] = None


class GenerateGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of generate."""

    prompt: Annotated[str, told("What to answer", min_length=1, max_length=400_000)]
    system: Annotated[str, told("Instructions that stand before the prompt", max_length=100_000)] | None = (
        None
    )
    model: Model = None
    max_tokens: Annotated[int, told("Tokens of the answer at most", ge=1, le=32_768)] = 1024
    temperature: Annotated[float, told("0: always the likeliest token", ge=0, le=2)] | None = None
    schema: Annotated[
        dict[str, Any] | None, told("A JSON schema: the answer is JSON of this shape, and nothing else")
    ] = None
    stop: Annotated[list[str], told("Texts at which the answer ends", max_length=4)] = []
    seed: Annotated[int | None, told("The same seed, prompt and settings give the same answer")] = None


class EmbedGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of embed."""

    texts: Annotated[list[Text], told("What to turn into vectors", min_length=1, max_length=64)]
    model: Model = None
    dimensions: Annotated[int, told("Numbers of each vector to keep", ge=1, le=8192)] | None = None


class RankGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of rank."""

    query: Annotated[str, told("What the texts are compared with", min_length=1, max_length=20_000)]
    texts: Annotated[list[Text], told("What to put in order", min_length=1, max_length=256)]
    model: Model = None


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model."""

    id: str
    is_default: bool
    stage: str
    features: list[str]
    context_tokens: int | None = None


class ListResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of list_models."""

    models: list[ModelLine]


class GenerateResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of generate."""

    model: str
    text: str
    reasoning: str = ""
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class EmbedResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of embed."""

    model: str
    vectors: list[list[float]]
    """In the order of the texts, of unit length."""


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A text's place."""

    index: int
    """Where it stood among the texts."""
    score: float


class RankResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of rank."""

    model: str
    ranked: list[Ranked]
    """The best first."""
