"""Between the core's words and the worker's wire. Pure; the two may change at different times."""

from typing import Any, cast, get_args

import msgspec

from runtime.backends.protocol import Alternative as WireAlternative
from runtime.backends.protocol import (
    Choice,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Finished,
    Generate,
    OfSeq,
    RawPrompt,
    Rerank,
    Sampling,
    Scored,
    Started,
    Tokenize,
    Tokenized,
    Work,
)
from runtime.backends.protocol import Fault as WireFault
from runtime.core.errors import Fault, FaultCode
from runtime.core.messages import (
    Began,
    Broke,
    ChatRequest,
    ChosenLogprob,
    CustomTool,
    DetokenizeRequest,
    EmbedRequest,
    Ended,
    FunctionTool,
    Message,
    Output,
    Request,
    RerankRequest,
    Scores,
    TokenizeRequest,
    TokenLogprob,
    Tokens,
    ToolCallDelta,
    Usage,
    Vectors,
)
from runtime.core.messages import Delta as CoreDelta

_FAULT_CODES = frozenset(get_args(FaultCode))


def to_work(request: Request, index: int, seq: int, credit: int) -> Work:
    """Return the frame that submits choice `index` of the request."""
    common: dict[str, Any] = {
        "seq": seq,
        "credits": credit,
        "principal": request.principal,
        "priority": request.priority,
    }
    match request:
        case ChatRequest():
            return _generate(request, index, common)
        case EmbedRequest():
            inputs = [each if isinstance(each, str) else list(each) for each in request.inputs]
            return Embed(inputs=inputs, dimensions=request.dimensions, **common)
        case RerankRequest():
            return Rerank(query=request.query, documents=list(request.documents), **common)
        case TokenizeRequest():
            return Tokenize(
                text=request.text,
                chat=None if request.chat is None else _generate(request.chat, 0, common),
                adds_special=request.adds_special,
                parses_special=request.parses_special,
                **common,
            )
        case DetokenizeRequest():
            return Detokenize(tokens=list(request.tokens), **common)


def _generate(request: ChatRequest, index: int, common: dict[str, Any]) -> Generate:
    sampling = request.sampling
    if sampling.seed is not None and index:
        # Choices with one seed would all be the same answer.
        sampling = msgspec.structs.replace(sampling, seed=sampling.seed + index)

    prompt = request.prompt
    return Generate(
        messages=[_message(each) for each in request.messages],
        prompt=None if prompt is None else msgspec.convert(msgspec.to_builtins(prompt), RawPrompt),
        sampling=msgspec.convert(msgspec.to_builtins(sampling, str_keys=False), Sampling),
        tools=[_tool(each) for each in request.tools],
        tool_mode=request.tool_choice.mode,
        tool_names=request.tool_choice.names,
        parallel_tool_calls=request.parallel_tool_calls,
        format_type=request.response_format.type,
        format_schema=request.response_format.schema,
        reasoning_effort=request.reasoning_effort,
        adapter=request.adapter,
        deadline_s=request.deadline_s,
        **common,
    )


def to_output(frame: OfSeq) -> Output:
    """Return the core's word for what a seq said."""
    match frame:
        case Started():
            return Began(prompt_tokens=frame.prompt_tokens)
        case Delta():
            return CoreDelta(
                text=frame.text,
                reasoning=frame.reasoning,
                tool_calls=tuple(
                    ToolCallDelta(
                        index=each.index,
                        id=each.id,
                        name=each.name,
                        arguments=each.arguments,
                        type=each.type,
                    )
                    for each in frame.tool_calls
                ),
                logprobs=tuple(_logprob(each) for each in frame.logprobs),
                tokens=frame.tokens,
            )
        case Embedded():
            return Vectors(start=frame.start, vectors=tuple(frame.vectors))
        case Scored():
            return Scores(scores=tuple(frame.scores))
        case Tokenized():
            return Tokens(tokens=tuple(frame.tokens), pieces=tuple(frame.pieces))
        case Finished():
            usage = Usage(
                prompt_tokens=frame.prompt_tokens,
                completion_tokens=frame.completion_tokens,
                cached_tokens=frame.cached_tokens,
                reasoning_tokens=frame.reasoning_tokens,
                drafted_tokens=frame.drafted_tokens,
                accepted_tokens=frame.accepted_tokens,
                forced_tokens=frame.forced_tokens,
            )
            return Ended(reason=frame.reason, usage=usage, stop=frame.stop)
        case Failed():
            return Broke(fault=to_fault(frame.fault))


def to_fault(fault: WireFault) -> Fault:
    """Return the core's fault; a code that this build does not know counts as the engine's failure."""
    code = cast("FaultCode", fault.code) if fault.code in _FAULT_CODES else "engine_failed"
    return Fault(code=code, message=fault.message, param=fault.param)


def _message(message: Message) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    return {"content": None, **built}  # templates look at content without asking whether it is there


def _tool(tool: FunctionTool | CustomTool) -> dict[str, Any]:
    kind = "function" if isinstance(tool, FunctionTool) else "custom"
    return {"type": kind, kind: msgspec.to_builtins(tool)}


def _logprob(choice: Choice) -> ChosenLogprob:
    chosen = choice.chosen
    return ChosenLogprob(
        token=chosen.token,
        logprob=chosen.logprob,
        bytes=tuple(chosen.data),
        top_logprobs=tuple(_alternative(each) for each in choice.top),
    )


def _alternative(alternative: WireAlternative) -> TokenLogprob:
    return TokenLogprob(token=alternative.token, logprob=alternative.logprob, bytes=tuple(alternative.data))
