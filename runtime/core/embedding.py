"""Recall's own use of the models: texts to vectors, and scores for a query, as runs like anybody's.

A text that is longer than the model takes is split in halves until its parts fit: its vector is then the mean
of theirs, its score the best of theirs. So nothing of a text is left out.
"""

import math
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import anyio

from runtime.core.driver import RunHandle, Runs
from runtime.core.errors import Fault, ModelUnavailable, PolicyDenied, RequestInvalid
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate
from runtime.core.ids import ModelId, PrincipalId
from runtime.core.messages import (
    Broke,
    EmbedRequest,
    Ended,
    Output,
    Priority,
    Request,
    RerankRequest,
    Scores,
    Vectors,
)
from runtime.core.ports import Models
from runtime.core.readying import pass_install
from runtime.core.states import Feature, ModelState

PRINCIPAL = Principal(id=PrincipalId("recall"), role="operator")
TEXTS_LIMIT = 2048
"""In one run, as for everybody who comes over HTTP."""
CHARACTERS_LIMIT = 1_000_000
"""In one run: bounds what travels to the worker at once. A single longer text goes alone."""
_LOOK_EVERY_S = 1.0
_LOOKS = 30
"""How often work in the background looks whether an install is over; then its caller is told, and can come
again."""
_INSTALL_AGAIN_S = 600.0
"""An install that failed is tried again by work in the background, so often at most."""
_ALIKE = 0.75
"""Texts of so much of the length of one that was refused are split with it: they would be refused, too."""
_ABSENT = ("install_failed", "backend_missing")
_HOPELESS = ("invalid_request", "unsupported_parameter", "context_length_exceeded", "invalid_json_schema")

T = TypeVar("T")


class RunEmbedder:
    """Embeds and scores through runs; fulfils `core.recall.Embedder`."""

    def __init__(
        self, runs: Runs, models: Models, gate: Gate | None = None, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        self._gate = gate
        self._runs = runs
        self._models = models
        self._look_every_s = look_every_s
        self._installed_at: dict[ModelId, float] = {}
        """When an install was begun here last."""

    def is_installed(self, model: ModelId) -> bool:
        """Whether the model could answer without an installation."""
        state = self._models.find_model(model)
        return state is not None and _is_present(state)

    async def embed(
        self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
    ) -> list[bytes]:
        """Return one little-endian float32 vector of unit length per text.

        Begins to install the model where it is known only. Raises ModelUnavailable, RequestInvalid.
        """
        if not texts:
            return []

        await self._make_ready(model, "embeddings", is_background=is_background)
        priority: Priority = "batch" if is_background else "interactive"

        async def _ask(parts: Sequence[str]) -> list[bytes]:
            asked = EmbedRequest(model=model, inputs=tuple(parts), dimensions=dimensions, priority=priority)
            outputs = await self._run(asked)
            return [each for output in outputs if isinstance(output, Vectors) for each in output.vectors]

        found: list[bytes] = []
        for group in _groups(texts):
            found += [_mean(vectors) for vectors in await _ask_in_parts(_ask, group)]
        return found

    async def rerank(self, model: ModelId, query: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text, greater is better. Raises ModelUnavailable, RequestInvalid."""
        if not texts:
            return []

        await self._make_ready(model, "rerank", is_background=False)

        async def _ask(parts: Sequence[str]) -> list[float]:
            outputs = await self._run(RerankRequest(model=model, query=query, documents=tuple(parts)))
            return [each for output in outputs if isinstance(output, Scores) for each in output.scores]

        found: list[float] = []
        for group in _groups(texts):
            found += [max(scores) for scores in await _ask_in_parts(_ask, group)]
        return found

    async def _run(self, asked: Request) -> list[Output]:
        """Return all that a run gave; when cancelled, stop it. Raises ModelUnavailable, RequestInvalid."""
        try:
            handle = await self._runs.start(asked, PRINCIPAL, route="recall", is_stream=False)
        except PolicyDenied as denied:
            raise ModelUnavailable(denied.fault) from denied

        try:
            return await _outputs_of(handle)
        finally:
            handle.cancel("nobody waits for it any more")  # after its end this does nothing
            handle.outputs.close()

    async def _make_ready(self, model: ModelId, feature: Feature, *, is_background: bool) -> None:
        """Raise ModelUnavailable where the model cannot take a run, RequestInvalid where it never can."""
        state = self._find(model)
        if feature not in state.features:
            message = (
                f"The model '{model}' has not the feature '{feature}'. 'lar models' shows those that do."
            )
            raise RequestInvalid(Fault(code="unsupported_parameter", message=message, param="model"))

        if _is_present(state):
            return

        if state.stage == "available" or (is_background and self._may_try_again(state)):
            await self._pass_gate(model)
            state = self._models.start_install(model)
            self._installed_at[model] = self._runs.clock.monotonic()
        if is_background:
            for _ in range(_LOOKS):
                if (state := self._find(model)).stage != "installing":
                    break
                await anyio.sleep(self._look_every_s)
        if not _is_present(state):
            raise ModelUnavailable(state.fault or _installing(state))

    async def _pass_gate(self, model: ModelId) -> None:
        """Raise ModelUnavailable where policies do not let the model be installed."""
        try:
            await pass_install(self._gate, model, PRINCIPAL)
        except PolicyDenied as denied:
            raise ModelUnavailable(denied.fault) from denied

    def _find(self, model: ModelId) -> ModelState:
        state = self._models.find_model(model)
        if state is None:
            message = f"The model `{model[:120]}` does not exist. 'lar models' shows those that do."
            raise ModelUnavailable(Fault(code="model_not_found", message=message, param="model"))

        return state

    def _may_try_again(self, state: ModelState) -> bool:
        began = self._installed_at.get(state.id)
        is_long_ago = began is None or self._runs.clock.monotonic() - began >= _INSTALL_AGAIN_S
        return state.stage == "broken" and is_long_ago


def _is_present(state: ModelState) -> bool:
    """Whether the weights are here; what failed when it was loaded is tried again by a run."""
    if state.stage == "broken":
        return state.fault is None or state.fault.code not in _ABSENT

    return state.stage in ("installed", "loading", "loaded")


def _installing(state: ModelState) -> Fault:
    progress = state.progress
    so_far = "" if progress is None else f" ({progress.phase}"
    if progress is not None and progress.done is not None and progress.total:
        so_far += f", {min(100.0, 100 * progress.done / progress.total):.0f} %"
    so_far += ")" if so_far else ""
    return Fault(
        code="model_installing",
        message=f"The model '{state.id}' is being installed{so_far}. Try again when it is there.",
        param="model",
        retry_after_s=5.0 if progress is None or progress.left_s is None else max(1.0, progress.left_s),
    )


async def _outputs_of(handle: RunHandle) -> list[Output]:
    outputs: list[Output] = []
    while True:
        try:
            output = (await handle.outputs.receive()).output
        except anyio.EndOfStream:
            stopping = Fault(code="shutting_down", message="The run was stopped.", retry_after_s=5.0)
            raise _failure(handle.fault or stopping) from None

        match output:
            case Broke(fault=fault):
                raise _failure(fault)
            case Ended(reason="cancelled"):
                raise _failure(Fault(code="shutting_down", message="The run was stopped.", retry_after_s=5.0))
            case Ended():
                return outputs
            case _:
                outputs.append(output)


def _failure(fault: Fault) -> ModelUnavailable | RequestInvalid:
    return RequestInvalid(fault) if fault.code in _HOPELESS else ModelUnavailable(fault)


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """Split the texts into what one run may take."""
    group: list[str] = []
    characters = 0
    for text in texts:
        if group and (len(group) == TEXTS_LIMIT or characters + len(text) > CHARACTERS_LIMIT):
            yield group
            group, characters = [], 0
        group.append(text)
        characters += len(text)
    if group:
        yield group


async def _ask_in_parts(
    ask: Callable[[Sequence[str]], Awaitable[list[T]]], texts: Sequence[str]
) -> list[list[T]]:
    """Ask for every text; return the results of its parts, one unless it had to be split.

    A refusal comes before anything is computed, so asking again costs little, and each time the parts
    that are too long get shorter by half: the loop ends. Raises RequestInvalid for what no split mends.
    """
    parts = [[text] for text in texts]
    while True:
        flat = [part for each in parts for part in each]
        try:
            results = await ask(flat)
        except RequestInvalid as refusal:
            length = _refused_length(refusal.fault, flat)
            if length is None:
                raise
            parts = [_split(each, length) for each in parts]
            continue

        if len(results) != len(flat):
            message = f"The model gave {len(results)} results for {len(flat)} texts."
            raise ModelUnavailable(Fault(code="engine_failed", message=message))

        following = iter(results)
        return [[next(following) for _ in each] for each in parts]


def _refused_length(fault: Fault, texts: Sequence[str]) -> int | None:
    """Return how long the text is that the model found too long; None where splitting does not help."""
    if fault.code != "context_length_exceeded" or fault.param in (None, "query"):
        return None

    _, bracket, index = str(fault.param).partition("[")
    place = int(index.rstrip("]")) if bracket else 0
    length = len(texts[place]) if place < len(texts) else 0
    return length if length > 1 else None


def _split(parts: Sequence[str], length: int) -> list[str]:
    found: list[str] = []
    for part in parts:
        is_long = len(part) > 1 and len(part) >= _ALIKE * length
        found += _halves(part) if is_long else [part]
    return found


def _halves(text: str) -> list[str]:
    """Cut near the middle, at white space where there is some close by."""
    middle = len(text) // 2
    space = text.rfind(" ", len(text) // 4, middle)
    at = middle if space < 0 else space
    return [text[:at], text[at:]]


def _mean(vectors: Sequence[bytes]) -> bytes:
    """Return the vector of unit length that lies amid these."""
    if len(vectors) == 1:
        return vectors[0]

    numbers = [array("f", each) for each in vectors]
    sums = [math.fsum(column) for column in zip(*numbers, strict=True)]
    norm = math.sqrt(math.fsum(each * each for each in sums)) or 1.0
    return array("f", [each / norm for each in sums]).tobytes()
