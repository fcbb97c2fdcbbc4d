"""The MCP server `inference`: what Lar's models can do, for other models. Each call is a run like any."""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from mcp.server import Server

from runtime.core.clock import Clock
from runtime.core.driver import RunHandle
from runtime.core.errors import Fault, LarError, ModelUnavailable, RequestInvalid
from runtime.core.gate.principals import Principal
from runtime.core.ids import ModelId
from runtime.core.messages import (
    Broke,
    ChatRequest,
    Delta,
    EmbedRequest,
    Ended,
    Message,
    Output,
    Request,
    RerankRequest,
    ResponseFormat,
    Sampling,
    Scores,
    Vectors,
)
from runtime.core.ports import Models
from runtime.core.readiness import decide_readiness, unknown_model
from runtime.core.states import Feature, ModelState
from runtime.core.tools import Progressed
from runtime.mcp.servers.inference_words import (
    EmbedGiven,
    EmbedResult,
    GenerateGiven,
    GenerateResult,
    ListGiven,
    ListResult,
    ModelLine,
    Ranked,
    RankGiven,
    RankResult,
)
from runtime.mcp.servers.offering import READS, Call, Offer, tool_server

ROUTE = "mcp inference"
"""What runs that begin here carry as their route."""
_INSTRUCTIONS = (
    "Asks the models on this machine: nothing leaves it. Use a small model for small work, such as summing "
    "up or sorting; list_models tells which there are."
)
_REPORT_EVERY_S = 0.5
_ANSWERS = msgspec.structs.replace(READS, is_idempotent=False)


class Starter(Protocol):
    """Starts runs; `core.driver.Runs` does."""

    async def start(
        self, request: Request, principal: Principal, *, route: str, is_stream: bool
    ) -> RunHandle:
        """Begin a run. Raises LarError while the server stops."""


def inference_server(runs: Starter, models: Models, clock: Clock) -> Server[Any]:
    """Return the server."""
    tools = InferenceTools(runs, models, clock)
    offers = (
        Offer(
            "list_models",
            "List models",
            "List the models on this machine, what each can do, and whether it is in memory.",
            ListGiven,
            ListResult,
            tools.list_models,
            _ANSWERS,
        ),
        Offer(
            "generate",
            "Generate",
            "Let a local model answer a prompt, as text or as JSON of a given schema.",
            GenerateGiven,
            GenerateResult,
            tools.generate,
            _ANSWERS,
        ),
        Offer(
            "embed",
            "Embed",
            "Turn texts into vectors: texts of like meaning get vectors that lie close together.",
            EmbedGiven,
            EmbedResult,
            tools.embed,
            READS,
        ),
        Offer(
            "rank",
            "Rank",
            "Put texts in order by how well they answer a query.",
            RankGiven,
            RankResult,
            tools.rank,
            READS,
        ),
    )
    return tool_server("inference", "Inference", _INSTRUCTIONS, offers)


class InferenceTools:
    """What each tool does. Raises LarError kinds, whose messages a model can read."""

    def __init__(self, runs: Starter, models: Models, clock: Clock) -> None:
        self._runs = runs
        self._models = models
        self._clock = clock

    async def list_models(self, given: ListGiven, _: Call) -> ListResult:
        """List models."""
        known = [each for each in self._models.list_models() if given.feature in (None, *each.features)]
        return ListResult(models=[_line(each) for each in known])

    async def generate(self, given: GenerateGiven, call: Call) -> GenerateResult:
        """Generate an answer."""
        model = self._ready(given.model, "chat")
        if given.schema is not None and "response_format" not in model.features:
            raise _invalid(
                f"The model '{model.id}' cannot keep to a schema. Ask without one, or another model."
            )

        system = [Message(role="system", content=given.system)] if given.system else []
        asked = ChatRequest(
            model=model.id,
            priority="agent",
            messages=(*system, Message(role="user", content=given.prompt)),
            response_format=ResponseFormat()
            if given.schema is None
            else ResponseFormat(type="json_schema", name="answer", schema=given.schema, strict=True),
            sampling=Sampling(
                temperature=given.temperature,
                seed=given.seed,
                max_tokens=given.max_tokens,
                stop=tuple(given.stop),
            ),
        )
        answer = _Answer(call.report, given.max_tokens, self._clock.monotonic)
        ended = await self._follow(asked, call, answer.take)
        return GenerateResult(
            model=model.id,
            text="".join(answer.text),
            reasoning="".join(answer.reasoning),
            finish_reason=ended.reason,
            prompt_tokens=ended.usage.prompt_tokens,
            completion_tokens=ended.usage.completion_tokens,
        )

    async def embed(self, given: EmbedGiven, call: Call) -> EmbedResult:
        """Turn texts into vectors."""
        model = self._ready(given.model, "embeddings")
        vectors: list[list[float]] = []

        async def take(output: Output) -> None:
            if isinstance(output, Vectors):
                vectors.extend([round(number, 6) for number in array("f", each)] for each in output.vectors)
                await call.report(len(vectors), len(given.texts), "")

        asked = EmbedRequest(
            model=model.id, priority="agent", inputs=tuple(given.texts), dimensions=given.dimensions
        )
        await self._follow(asked, call, take)
        return EmbedResult(model=model.id, vectors=vectors)

    async def rank(self, given: RankGiven, call: Call) -> RankResult:
        """Put texts in order."""
        model = self._ready(given.model, "rerank")
        scores: list[float] = []

        async def take(output: Output) -> None:
            if isinstance(output, Scores):
                scores.extend(output.scores)

        asked = RerankRequest(
            model=model.id, priority="agent", query=given.query, documents=tuple(given.texts)
        )
        await self._follow(asked, call, take)
        ranked = [Ranked(index=index, score=round(score, 6)) for index, score in enumerate(scores)]
        return RankResult(model=model.id, ranked=sorted(ranked, key=lambda each: -each.score))

    def _ready(self, wanted: str | None, feature: Feature) -> ModelState:
        """Return the model, or one that can do it. Raises ModelUnavailable, RequestInvalid."""
        known = self._models.list_models()
        if wanted is None:
            model = _choose(known, feature)
            if model is None:
                raise _invalid(f"No model on this machine has the feature '{feature}'.")
        else:
            found = self._models.find_model(ModelId(wanted))
            if found is None:
                raise ModelUnavailable(unknown_model(ModelId(wanted)))
            model = found
        if feature not in model.features:
            raise _invalid(
                f"The model '{model.id}' has not the feature '{feature}'; list_models tells which do."
            )

        fault = _absent(model) if model.stage == "available" else decide_readiness(model)
        if fault is not None:
            raise ModelUnavailable(fault)
        return model

    async def _follow(self, asked: Request, call: Call, take: Callable[[Output], Any]) -> Ended:
        """Run the request to its end; leaving stops it. Raises LarError."""
        handle = await self._runs.start(asked, call.caller.principal, route=ROUTE, is_stream=False)
        try:
            async for piece in handle.outputs:
                match piece.output:
                    case Broke(fault=fault):
                        raise LarError(fault)
                    case Ended() as ended if ended.reason != "cancelled":
                        return ended
                    case output:
                        await take(output)
            raise LarError(handle.fault or _STOPPED)
        finally:
            handle.cancel("nobody waits for it any more")  # after its end this does nothing
            handle.outputs.close()


_STOPPED = Fault(code="shutting_down", message="The run was stopped before it ended.", retry_after_s=5.0)


class _Answer:
    """Gathers an answer, and tells now and then how long it is."""

    def __init__(self, report: Progressed, most: int, now: Callable[[], float]) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self._report = report
        self._most = most
        self._now = now
        self._tokens = 0
        self._told_at = now()

    async def take(self, output: Output) -> None:
        """Take a piece."""
        if not isinstance(output, Delta):
            return

        self.text.append(output.text)
        self.reasoning.append(output.reasoning)
        self._tokens += output.tokens
        now = self._now()
        if now - self._told_at >= _REPORT_EVERY_S:
            self._told_at = now
            await self._report(min(self._tokens, self._most), self._most, "tokens")


def _choose(known: Sequence[ModelState], feature: Feature) -> ModelState | None:
    """Return the model to take where none is named: the default one, one in memory, one on disk."""
    able = [each for each in known if feature in each.features]
    ranks = {"loaded": 0, "loading": 1, "installed": 2}
    return min(able, key=lambda each: (not each.is_default, ranks.get(each.stage, 3)), default=None)


def _absent(model: ModelState) -> Fault:
    message = f"The model '{model.id}' is known but not installed; 'lar models install {model.id}' does that."
    return Fault(code="backend_missing", message=message, param="model")


def _line(model: ModelState) -> ModelLine:
    return ModelLine(
        id=model.id,
        is_default=model.is_default,
        stage=model.stage,
        features=sorted(model.features),
        context_tokens=model.context_tokens,
    )


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message))
