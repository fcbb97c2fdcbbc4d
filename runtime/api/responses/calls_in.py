"""Calls that come back with an input: each as the call it was, and those that Lar made with their results."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from runtime.api.images import kind_of
from runtime.api.responses.calls_out import OWN_SERVER, PROTOCOL_CODES
from runtime.api.responses.item_bodies import (
    Typed,
    WireApprovalRequest,
    WireApprovalResponse,
    WireCode,
    WireComputerCall,
    WireCustomCall,
    WireFileSearch,
    WireFunctionCall,
    WireImage,
    WireItem,
    WireListTools,
    WireLocalShellCall,
    WireLocalShellOutput,
    WireMcpCall,
    WirePatchCall,
    WirePatchOutput,
    WireShellCall,
    WireShellOutput,
    WireWebSearch,
)
from runtime.api.responses.tools_in import mcp_name, namespaced
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    CallForm,
    Decided,
    Foreign,
    ItemStatus,
    Listed,
    Part,
    Picture,
    Text,
    Wanted,
)

PREFIXES = {
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "mcp_list_tools": "mcpl_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcpa_",
    "mcp_call": "mcp_",
    "file_search_call": "fs_",
    "web_search_call": "ws_",
    "code_interpreter_call": "ci_",
    "image_generation_call": "ig_",
    "shell_call": "sh_",
    "shell_call_output": "sho_",
    "local_shell_call": "lsh_",
    "local_shell_call_output": "lsho_",
    "apply_patch_call": "apc_",
    "apply_patch_call_output": "apco_",
    "computer_call": "cu_",
}
"""Of ids, by the type of the item."""
_GONE = "(What this call gave is not at hand any more.)"
_CODES = {number: code for code, number in PROTOCOL_CODES.items()}

Mint = Callable[[str], str]


def items_of(given: Typed, item: str, mint: Mint) -> Sequence[AnyItem]:
    """Return what an item of the wire is, under this id: most are one item, a call that was made is two."""
    match given.wire:
        case WireFunctionCall() | WireCustomCall():
            return [_own_call(given.wire, item)]
        case WireListTools() | WireApprovalRequest() | WireApprovalResponse():
            return [_about_server(given.wire, item)]
        case WireMcpCall():
            return _mcp_call(given.wire, item, mint)
        case WireFileSearch() | WireWebSearch() | WireCode() | WireImage():
            return _hosted_call(given.wire, item, mint)
        case WireComputerCall():
            return [_computer_call(given, given.wire, item)]
        case WireShellCall() | WireLocalShellCall() | WirePatchCall():
            return [_client_call(given.wire, item)]
        case WireShellOutput() | WireLocalShellOutput() | WirePatchOutput():
            return [_client_output(given.wire, item)]
        case _:
            return [Foreign(id=item, body=given.body)]


def _own_call(wire: WireFunctionCall | WireCustomCall, item: str) -> Called:
    is_function = isinstance(wire, WireFunctionCall)
    return Called(
        id=item,
        call_id=wire.call_id,
        name=wire.name if wire.namespace is None else namespaced(wire.namespace, wire.name),
        arguments=wire.arguments if isinstance(wire, WireFunctionCall) else wire.input,
        form="function" if is_function else "custom",
        tool="" if wire.namespace is None else wire.name,
        namespace=wire.namespace,
        status=_state(wire),
    )


def _about_server(
    wire: WireListTools | WireApprovalRequest | WireApprovalResponse, item: str
) -> Listed | Wanted | Decided:
    match wire:
        case WireListTools():
            error = None if wire.error is None else _told(wire.error)
            return Listed(id=item, server=wire.server_label, tools=tuple(wire.tools or ()), error=error)
        case WireApprovalRequest():
            return Wanted(
                id=item,
                call_id=f"call_{item.removeprefix('mcpr_')}",
                name=_server_name(wire.server_label, wire.name),
                server="" if wire.server_label == OWN_SERVER else wire.server_label,
                tool=wire.name,
                arguments=wire.arguments,
            )
        case WireApprovalResponse():
            return Decided(
                id=item,
                wanted=wire.approval_request_id,
                is_approved=wire.approve,
                reason=wire.reason or "",
            )


def _server_name(label: str, tool: str) -> str:
    return tool if label == OWN_SERVER else mcp_name(label, tool)


def _mcp_call(wire: WireMcpCall, item: str, mint: Mint) -> list[AnyItem]:
    is_own = wire.server_label == OWN_SERVER
    form: CallForm = "function" if is_own else "mcp"
    called = Called(
        id=item,
        call_id=item,
        name=_server_name(wire.server_label, wire.name),
        arguments=wire.arguments,
        form=form,
        by_client=False,
        server="" if is_own else wire.server_label,
        tool=wire.name,
        approval=wire.approval_request_id,
        status="failed" if wire.error is not None else _state(wire),
    )
    if wire.output is None and wire.error is None:
        return [called]

    text, code = (wire.output or "", "") if wire.error is None else _error(wire.error)
    result = Answered(
        id=mint("res_"),
        call_id=item,
        parts=(Text(text=text),),
        is_error=wire.error is not None,
        code=code,
        form=form,
        status="failed" if wire.error is not None else "completed",
    )
    return [called, result]


def _error(error: object) -> tuple[str, str]:
    """Return what an error says, and Lar's own code for it."""
    match error:
        case {"type": "mcp_tool_execution_error", "content": content}:
            return _told(content), ""
        case {"type": "http_error", "message": str(message)}:
            return message, "unreachable"
        case {"message": str(message), "code": int(number)}:
            return message, _CODES.get(number, "failed")
        case {"message": str(message)}:
            return message, "failed"
        case _:
            return _told(error), ""


def _told(content: object) -> str:
    """Return the text of what somebody else has written."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(each["text"] if _is_text(each) else _json(each) for each in content)
    return _json(content)


def _is_text(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("text"), str)


def _hosted_call(
    wire: WireFileSearch | WireWebSearch | WireCode | WireImage, item: str, mint: Mint
) -> list[AnyItem]:
    form, arguments = _hosted_arguments(wire)
    extra: dict[str, Any] = {}
    if isinstance(wire, WireCode) and wire.container_id is not None:
        extra = {"container_id": wire.container_id}
    is_failed = wire.status == "failed"
    called = Called(
        id=item,
        call_id=item,
        name=form,
        arguments=_json(arguments),
        form=form,
        by_client=False,
        status="failed" if is_failed else _state(wire),
        extra=extra,
    )
    if called.status == "incomplete":
        return [called]

    parts, structured = _hosted_result(wire)
    result = Answered(
        id=mint("res_"),
        call_id=item,
        parts=parts,
        structured=structured,
        is_error=is_failed,
        form=form,
        status="failed" if is_failed else "completed",
    )
    return [called, result]


def _hosted_arguments(
    wire: WireFileSearch | WireWebSearch | WireCode | WireImage,
) -> tuple[CallForm, dict[str, Any]]:
    match wire:
        case WireFileSearch():
            return "file_search", {"queries": list(wire.queries or ())}
        case WireWebSearch():
            action = wire.action or {}
            kept = {name: action[name] for name in ("query", "queries", "url", "pattern") if name in action}
            return "web_search", {name: value for name, value in kept.items() if value is not None}
        case WireCode():
            return "code_interpreter", {"code": wire.code or ""}
        case WireImage():
            return "image_generation", {"prompt": wire.revised_prompt or ""}


def _hosted_result(
    wire: WireFileSearch | WireWebSearch | WireCode | WireImage,
) -> tuple[tuple[Part, ...], dict[str, Any] | None]:
    match wire:
        case WireFileSearch(results=list(results)):
            texts = [f"{_text(each.get('filename'))}: {_text(each.get('text'))}" for each in results]
            return (Text(text="\n\n".join(texts) or "Nothing was found."),), {"results": results}
        case WireWebSearch(action={"sources": list(sources)}):
            kept = [each for each in sources if isinstance(each, dict)]
            text = "\n".join(_text(each.get("url")) for each in kept)
            return (Text(text=text or _GONE),), {"sources": kept}
        case WireCode(outputs=list(outputs)):
            logs = "\n".join(_text(each.get("logs")) for each in outputs if each.get("type") == "logs")
            return (Text(text=logs or "(no output)"),), {"outputs": outputs}
        case WireImage(result=str(coded)):
            return _picture(coded), {"revised_prompt": wire.revised_prompt}
        case _:
            return (Text(text=_GONE),), None


def _picture(coded: str) -> tuple[Part, ...]:
    try:
        data = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    return (Picture(data=data),) if kind_of(data) is not None else (Text(text=_GONE),)


def _computer_call(given: Typed, wire: WireComputerCall, item: str) -> Called:
    actions = wire.actions if wire.actions is not None else [wire.action or {}]
    return Called(
        id=item,
        call_id=wire.call_id,
        name="computer",
        arguments=_json({"actions": actions}),
        extra={"wire": given.body},
        status=_state(wire),
    )


def _client_call(wire: WireShellCall | WireLocalShellCall | WirePatchCall, item: str) -> Called:
    extra: dict[str, Any] = {}
    arguments: dict[str, Any]
    form: CallForm
    match wire:
        case WireShellCall():
            form, arguments = "shell", msgspec.to_builtins(wire.action)
            extra = {} if wire.environment is None else {"environment": wire.environment}
        case WireLocalShellCall():
            form, arguments = "local_shell", msgspec.to_builtins(wire.action)
        case WirePatchCall():
            form, arguments = "apply_patch", wire.operation
    kept = {name: value for name, value in arguments.items() if value is not None}
    return Called(
        id=item,
        call_id=wire.call_id,
        name=form,
        arguments=_json(kept),
        form=form,
        status=_state(wire),
        extra=extra,
    )


def _client_output(wire: WireShellOutput | WireLocalShellOutput | WirePatchOutput, item: str) -> Answered:
    match wire:
        case WireShellOutput():
            extra = {} if wire.max_output_length is None else {"max_output_length": wire.max_output_length}
            text = "\n".join(_ran(each) for each in wire.output)
            return Answered(
                id=item,
                call_id=wire.call_id,
                parts=(Text(text=text),),
                structured=wire.output,
                form="shell",
                extra=extra,
            )
        case WireLocalShellOutput():
            call_id = wire.call_id or wire.id or item
            return Answered(id=item, call_id=call_id, parts=(Text(text=wire.output),), form="local_shell")
        case WirePatchOutput():
            is_failed = wire.status == "failed"
            return Answered(
                id=item,
                call_id=wire.call_id,
                parts=(Text(text=wire.output or ("failed" if is_failed else "done")),),
                is_error=is_failed,
                form="apply_patch",
                status="failed" if is_failed else "completed",
            )


def _ran(output: dict[str, Any]) -> str:
    """Return what a command printed and how it ended, as a model reads it."""
    match output.get("outcome"):
        case {"type": "timeout"}:
            ending = "(timed out)"
        case {"exit_code": int(code)} if code:
            ending = f"(exit code {code})"
        case _:
            ending = ""
    printed = [_text(output.get("stdout")), _text(output.get("stderr")), ending]
    return "\n".join(each for each in printed if each)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _state(wire: WireItem) -> ItemStatus:
    return "incomplete" if wire.status == "incomplete" else "completed"
