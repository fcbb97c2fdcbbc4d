"""Input items as they come over the wire: one struct for each type, and the parts of messages.

Every item that a response gives may come back, so fields are as lenient as OpenAI's own input types are.
"""

from typing import Any, Literal

import msgspec

from runtime.api.bodies import shape_part
from runtime.api.errors import invalid
from runtime.api.openai.sampling import NotEmpty
from runtime.api.responses.body import Open

WireStatus = Literal[
    "in_progress", "completed", "incomplete", "searching", "interpreting", "generating", "calling", "failed"
]
ITEMS_LIMIT = 100_000
"""Items of one request: above what any context holds."""


class InputText(Open, frozen=True, kw_only=True, tag_field="type", tag="input_text"):
    """Text of a user or of the developer."""

    text: str


class InputImage(Open, frozen=True, kw_only=True, tag_field="type", tag="input_image"):
    """A picture: a data URL, or a stored file."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(Open, frozen=True, kw_only=True, tag_field="type", tag="input_file"):
    """A document: stored, or within the request."""

    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class InputAudio(Open, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """Sound; refused by name."""


class OutputText(Open, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text that the assistant wrote."""

    text: str
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None


class PlainText(Open, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text, in the words of chat completions."""

    text: str


class OutputRefusal(Open, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """What the assistant said instead of an answer."""

    refusal: str


WirePart = InputText | InputImage | InputFile | InputAudio | OutputText | PlainText | OutputRefusal
Content = str | list[WirePart]


class WireItem(Open, frozen=True, kw_only=True):
    """Base of the items."""

    id: str | None = None
    status: WireStatus | None = None


class WireMessage(WireItem, frozen=True, kw_only=True):
    """A message; the assistant's own ones come back, too."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: Literal["commentary", "final_answer"] | None = None


class WireFunctionCall(WireItem, frozen=True, kw_only=True):
    """A function that the model called."""

    call_id: NotEmpty
    name: NotEmpty
    arguments: str
    namespace: str | None = None


class WireCustomCall(WireItem, frozen=True, kw_only=True):
    """A custom tool that the model called."""

    call_id: NotEmpty
    name: NotEmpty
    input: str
    namespace: str | None = None


class WireCallOutput(WireItem, frozen=True, kw_only=True):
    """What came of a call, of a function or of a custom tool."""

    call_id: NotEmpty
    output: Content


class Summary(Open, frozen=True, kw_only=True):
    """A piece of a reasoning item."""

    text: str


class WireReasoning(WireItem, frozen=True, kw_only=True):
    """What a model thought."""

    summary: list[Summary] | None = None
    content: list[Summary] | None = None
    encrypted_content: str | None = None


class WireListTools(WireItem, frozen=True, kw_only=True):
    """The tools of a server."""

    server_label: NotEmpty
    tools: list[dict[str, Any]] | None = None
    error: Any = None


class WireApprovalRequest(WireItem, frozen=True, kw_only=True):
    """A call that the asker must allow."""

    server_label: NotEmpty
    name: NotEmpty
    arguments: str


class WireApprovalResponse(WireItem, frozen=True, kw_only=True):
    """The asker's answer to it."""

    approval_request_id: NotEmpty
    approve: bool
    reason: str | None = None


class WireMcpCall(WireItem, frozen=True, kw_only=True):
    """A call of a server's tool, made."""

    server_label: NotEmpty
    name: NotEmpty
    arguments: str
    output: str | None = None
    error: Any = None
    approval_request_id: str | None = None


class WireFileSearch(WireItem, frozen=True, kw_only=True):
    """A search in collections, made."""

    queries: list[str] | None = None
    results: list[dict[str, Any]] | None = None


class WireWebSearch(WireItem, frozen=True, kw_only=True):
    """A search on the web, made."""

    action: dict[str, Any] | None = None


class WireCode(WireItem, frozen=True, kw_only=True):
    """A program that was run."""

    code: str | None = None
    container_id: str | None = None
    outputs: list[dict[str, Any]] | None = None


class WireImage(WireItem, frozen=True, kw_only=True):
    """A picture that was made."""

    result: str | None = None
    revised_prompt: str | None = None


class WireShellAction(Open, frozen=True, kw_only=True):
    """Commands."""

    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class WireShellCall(WireItem, frozen=True, kw_only=True):
    """Commands that the asker runs."""

    call_id: NotEmpty
    action: WireShellAction
    environment: dict[str, Any] | None = None


class WireShellOutput(WireItem, frozen=True, kw_only=True):
    """What came of them."""

    call_id: NotEmpty
    output: list[dict[str, Any]]
    max_output_length: int | None = None


class WireLocalShellAction(Open, frozen=True, kw_only=True):
    """A command."""

    command: list[str]
    env: dict[str, str] | None = None
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class WireLocalShellCall(WireItem, frozen=True, kw_only=True):
    """A command that the asker runs."""

    call_id: NotEmpty
    action: WireLocalShellAction


class WireLocalShellOutput(WireItem, frozen=True, kw_only=True):
    """What came of it; older clients name the call by `id`."""

    call_id: str | None = None
    output: str


class WirePatchCall(WireItem, frozen=True, kw_only=True):
    """A change of files that the asker makes."""

    call_id: NotEmpty
    operation: dict[str, Any]


class WirePatchOutput(WireItem, frozen=True, kw_only=True):
    """Whether it could be made."""

    call_id: NotEmpty
    output: str | None = None


class WireComputerCall(WireItem, frozen=True, kw_only=True):
    """What was done at a screen."""

    call_id: NotEmpty
    action: dict[str, Any] | None = None
    actions: list[dict[str, Any]] | None = None
    pending_safety_checks: list[dict[str, Any]] | None = None


class Screenshot(Open, frozen=True, kw_only=True):
    """What was seen then."""

    image_url: str | None = None
    file_id: str | None = None


class WireComputerOutput(WireItem, frozen=True, kw_only=True):
    """What came of it."""

    call_id: NotEmpty
    output: Screenshot


class WireCompaction(WireItem, frozen=True, kw_only=True):
    """A summary, sealed."""

    encrypted_content: NotEmpty


class WireReference(WireItem, frozen=True, kw_only=True):
    """An item that is stored here."""

    id: NotEmpty


class WireKept(WireItem, frozen=True, kw_only=True):
    """An item that is kept and shown again, and says nothing to a model."""


class WireTools(WireItem, frozen=True, kw_only=True):
    """Tools that are had from here on."""

    tools: list[dict[str, Any]]


ITEM_SHAPES: dict[str, type[WireItem]] = {
    "message": WireMessage,
    "function_call": WireFunctionCall,
    "function_call_output": WireCallOutput,
    "custom_tool_call": WireCustomCall,
    "custom_tool_call_output": WireCallOutput,
    "reasoning": WireReasoning,
    "mcp_list_tools": WireListTools,
    "mcp_approval_request": WireApprovalRequest,
    "mcp_approval_response": WireApprovalResponse,
    "mcp_call": WireMcpCall,
    "file_search_call": WireFileSearch,
    "web_search_call": WireWebSearch,
    "code_interpreter_call": WireCode,
    "image_generation_call": WireImage,
    "shell_call": WireShellCall,
    "shell_call_output": WireShellOutput,
    "local_shell_call": WireLocalShellCall,
    "local_shell_call_output": WireLocalShellOutput,
    "apply_patch_call": WirePatchCall,
    "apply_patch_call_output": WirePatchOutput,
    "computer_call": WireComputerCall,
    "computer_call_output": WireComputerOutput,
    "compaction": WireCompaction,
    "item_reference": WireReference,
    "additional_tools": WireTools,
    "tool_search_call": WireKept,
    "tool_search_output": WireKept,
    "configuration_update": WireKept,
    "compaction_trigger": WireKept,
    "program": WireKept,
    "program_output": WireKept,
}


class Typed(msgspec.Struct, frozen=True):
    """An item, its type, and where it stands."""

    type: str
    wire: WireItem
    path: str
    body: dict[str, Any]
    """As it came."""


def shape_item(given: dict[str, Any], path: str) -> Typed:
    """Return an item by its type. Raises Refused, naming the path."""
    kind = _kind_of(given, path)
    shape = ITEM_SHAPES.get(kind)
    if shape is None and ":" in kind:  # a vendor's own, in the words of Open Responses
        shape = WireKept
    if shape is None:
        known = ", ".join(f"'{each}'" for each in sorted(ITEM_SHAPES))
        message = f"Invalid value for '{path}.type': '{kind[:80]}'. It must be one of {known}."
        raise invalid(message, f"{path}.type")

    return Typed(type=kind, wire=shape_part(given, shape, path), path=path, body=given)


def _kind_of(given: dict[str, Any], path: str) -> str:
    kind = given.get("type")
    if kind is None and "role" in given:
        return "message"

    if kind is None and isinstance(given.get("id"), str):
        return "item_reference"

    if kind is None:
        param = f"{path}.type"
        raise invalid(f"Missing required parameter: '{param}'.", param, code="missing_required_parameter")

    if not isinstance(kind, str):
        raise invalid(f"'{path}.type' must be a string.", f"{path}.type", code="invalid_type")
    return kind
