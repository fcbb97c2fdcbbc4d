"""POST /v1/completions: a run per prompt, told as one stream or as one whole answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from msgspec import UNSET

from runtime.api.bodies import read_body
from runtime.api.chosen import choose_model
from runtime.api.deps import ApiDeps
from runtime.api.openai.chunks import Heading
from runtime.api.openai.completion_body import CompletionBody, requests_of
from runtime.api.openai.completion_chunks import CompletionAnswer, CompletionChunks
from runtime.api.openai.many_runs import ManyRuns, Numbered, open_runs
from runtime.api.openai.sampling import service_tier_of, wants_usage
from runtime.api.openai.streaming import answer_stream
from runtime.api.openai.usage import Tally
from runtime.api.runs import Asker, asker_of
from runtime.api.sse import SseStream
from runtime.core.messages import Began, Broke, Delta, Ended, Scores, Tokens, Vectors
from runtime.core.states import ModelState

ROUTE = "/v1/completions"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One request on its way out."""

    deps: ApiDeps
    body: CompletionBody
    model: ModelState
    prompts: int
    runs: ManyRuns

    def heading(self) -> Heading:
        """Return the heading; call it once the first run has started, which stands for all."""
        run_id = self.runs.name_run(min(self.runs.ids))
        assert run_id is not None
        return Heading(
            id=f"cmpl-{run_id.removeprefix('run_')}",
            created=int(self.deps.clock.now()),
            model=self.body.model,
            system_fingerprint=f"lar-{self.deps.version}-{self.model.engine}",
            service_tier=service_tier_of(self.body) or UNSET,
        )


async def post_completion(request: web.Request) -> web.StreamResponse:
    """Serve one completion, of one prompt or of several."""
    body = await read_body(request, CompletionBody)
    asker = asker_of(request)
    if not body.stream:
        return web.Response(body=await complete_text(asker, body), content_type="application/json")

    async with _open(asker, body) as job:
        return await _stream(request, job)


async def complete_text(asker: Asker, body: CompletionBody) -> bytes:
    """Return the whole answer to a request. Raises Refused, LarError."""
    async with _open(asker, body) as job:
        return await _whole(job)


@asynccontextmanager
async def _open(asker: Asker, body: CompletionBody) -> AsyncIterator[_Job]:
    """Start the runs of a request. Raises Refused, LarError."""
    # Whoever asked for best_of alone did not ask for log probabilities.
    renamed = {"logprobs": "best_of"} if body.logprobs is None else {}
    chosen = [await choose_model(asker.deps, each, asker.principal, renamed) for each in requests_of(body)]
    model = chosen[0].model
    asked = [each.request for each in chosen]
    async with open_runs(asker, asked, side_by_side=model.sequences, is_stream=bool(body.stream)) as runs:
        yield _Job(deps=asker.deps, body=body, model=model, prompts=len(asked), runs=runs)


async def _stream(request: web.Request, job: _Job) -> web.StreamResponse:
    """Send a chunk per output."""
    first = await job.runs.next()
    body = job.body
    chunks = CompletionChunks(
        job.heading(),
        choices=job.prompts * body.wanted,
        has_usage=wants_usage(body),
        has_logprobs=body.logprobs is not None,
    )

    async def tell(stream: SseStream) -> None:
        tally = Tally()
        await _tell_output(stream, chunks, tally, first, body.wanted)
        async for numbered in job.runs.numbered_beside(stream):
            await _tell_output(stream, chunks, tally, numbered, body.wanted)
        if wants_usage(body):
            await stream.send(chunks.usage(tally.total()))

    return await answer_stream(request, tell)


async def _tell_output(
    stream: SseStream, chunks: CompletionChunks, tally: Tally, numbered: Numbered, per_prompt: int
) -> None:
    index = numbered.run * per_prompt + numbered.piece.index
    match numbered.piece.output:
        case Delta() as delta:
            chunk = chunks.delta(index, delta)
            if chunk is not None:
                await stream.send(chunk)
        case Ended() as ended:
            tally.add(ended.usage, run=numbered.run)
            await stream.send(chunks.closing(index, ended.reason))
        case Began() | Broke() | Vectors() | Scores() | Tokens():
            return  # nothing to show, or it ended the run before it came here, or not of a completion


async def _whole(job: _Job) -> bytes:
    """Gather the runs and answer once. Raises RunOver."""
    body = job.body
    answer = CompletionAnswer(
        prompts=job.prompts, generated=body.generated, wanted=body.wanted, is_echoed=bool(body.echo)
    )
    tally = Tally()
    async for numbered in job.runs.numbered():
        match numbered.piece.output:
            case Began() | Delta() | Ended() as output:
                answer.add(numbered.run, numbered.piece.index, output)
                if isinstance(output, Ended):
                    tally.add(output.usage, run=numbered.run)
            case Broke() | Vectors() | Scores() | Tokens():
                continue
    return answer.encode(job.heading(), tally.total(), has_logprobs=body.logprobs is not None)
