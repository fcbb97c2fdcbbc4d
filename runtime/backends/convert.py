"""Between the core's words and the worker's wire. Pure; the two may change at different times."""

from typing import Any, cast, get_args

import msgspec

from runtime.backends.protocol import Alternative as WireAlternative
from runtime.backends.protocol import (
    Choice,
    Delta,
    Failed,
    Finished,
    Generate,
    Sampling,
    Started,
)
from runtime.backends.protocol import Fault as WireFault
from runtime.core.errors import Fault, FaultCode
from runtime.core.messages import (
    Began,
    Broke,
    ChatRequest,
    ChosenLogprob,
    Ended,
    FunctionTool,
    Message,
    Output,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from runtime.core.messages import Delta as CoreDelta

_FAULT_CODES = frozenset(get_args(FaultCode))


def to_generate(request: ChatRequest, index: int, seq: int, credit: int) -> Generate:
    """Return the frame that submits choice `index` of the request."""
    sampling = request.sampling
    if sampling.seed is not None and index:
        # Choices with one seed would all be the same answer.
        sampling = msgspec.structs.replace(sampling, seed=sampling.seed + index)

    return Generate(
        seq=seq,
        messages=[_message(each) for each in request.messages],
        sampling=msgspec.convert(msgspec.to_builtins(sampling, str_keys=False), Sampling),
        tools=[_tool(each) for each in request.tools],
        tool_mode=request.tool_choice.mode,
        tool_names=request.tool_choice.names,
        parallel_tool_calls=request.parallel_tool_calls,
        format_type=request.response_format.type,
        format_schema=request.response_format.schema,
        reasoning_effort=request.reasoning_effort,
        credits=credit,
    )


def to_output(frame: Started | Delta | Finished | Failed) -> Output:
    """Return the core's word for what a seq said."""
    match frame:
        case Started():
            return Began(prompt_tokens=frame.prompt_tokens)
        case Delta():
            return CoreDelta(
                text=frame.text,
                reasoning=frame.reasoning,
                tool_calls=tuple(
                    ToolCallDelta(index=each.index, id=each.id, name=each.name, arguments=each.arguments)
                    for each in frame.tool_calls
                ),
                logprobs=tuple(_logprob(each) for each in frame.logprobs),
                tokens=frame.tokens,
            )
        case Finished():
            usage = Usage(
                prompt_tokens=frame.prompt_tokens,
                completion_tokens=frame.completion_tokens,
                cached_tokens=frame.cached_tokens,
                reasoning_tokens=frame.reasoning_tokens,
            )
            return Ended(reason=frame.reason, usage=usage)
        case Failed():
            return Broke(fault=to_fault(frame.fault))


def to_fault(fault: WireFault) -> Fault:
    """Return the core's fault; a code that this build does not know counts as the engine's failure."""
    code = cast("FaultCode", fault.code) if fault.code in _FAULT_CODES else "engine_failed"
    return Fault(code=code, message=fault.message, param=fault.param)


def _message(message: Message) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(message)
    return {"content": None, **built}  # templates look at content without asking whether it is there


def _tool(tool: FunctionTool) -> dict[str, Any]:
    return {"type": "function", "function": msgspec.to_builtins(tool)}


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
