"""What the Responses API refuses beside wrong fields: each with its status, code and the field it names."""

from collections.abc import Mapping

import msgspec

from runtime.api.errors import Refusal, Refused, invalid, not_found

_ECHO_CHARS = 80
_CHAT_SCHEMA, _SCHEMA = "response_format.json_schema.", "text.format."
FIELDS: Mapping[str, str] = {
    "response_format": "text.format",
    "logprobs": "include",
    "messages": "input",
}
"""What the core and chat completions call a field, in the words of this API."""


def response_not_found(response: str) -> Refused:
    """Return the 404 for a response that is not there."""
    return not_found(f"Response with id '{response[:_ECHO_CHARS]}' not found.", "not_found")


def previous_not_found(response: str) -> Refused:
    """Return the 400 for a previous response that is not there."""
    return invalid(
        f"Previous response with id '{response[:_ECHO_CHARS]}' not found.",
        "previous_response_id",
        code="previous_response_not_found",
    )


def conversation_not_found(conversation: str) -> Refused:
    """Return the 404 for a conversation that is not there."""
    message = f"Conversation with id '{conversation[:_ECHO_CHARS]}' not found."
    return not_found(message, "not_found", "conversation")


def item_not_found(item: str) -> Refused:
    """Return the 404 for an item that a reference names."""
    message = (
        f"Item with id '{item[:_ECHO_CHARS]}' not found. Items are not kept when 'store' is set to false. "
        "Try again with 'store' set to true, or leave the item out of your input."
    )
    return not_found(message, "not_found", "input")


def prompt_not_found(prompt: str, version: str | None) -> Refused:
    """Return the 404 for a template that is not there."""
    which = "" if version is None else f" and version '{version[:_ECHO_CHARS]}'"
    return not_found(f"Prompt with id '{prompt[:_ECHO_CHARS]}'{which} not found.", "not_found", "prompt.id")


def both_previous() -> Refused:
    """Return the 400 for a request that continues two things at once."""
    return invalid(
        "Only one of 'previous_response_id' and 'conversation' may be given.",
        "previous_response_id",
        code="mutually_exclusive_parameters",
    )


def background_unstored() -> Refused:
    """Return the 400 for a response in the background that nobody could read."""
    return invalid("'background' requires 'store' to be true.", "background")


def call_missing(call_id: str) -> Refused:
    """Return the 400 for a result without its call."""
    message = f"No tool call found for function call output with call_id {call_id[:_ECHO_CHARS]}."
    return invalid(message, "input")


def output_missing(call_id: str) -> Refused:
    """Return the 400 for a call without its result."""
    return invalid(f"No tool output found for function call {call_id[:_ECHO_CHARS]}.", "input")


def approval_missing(wanted: str) -> Refused:
    """Return the 400 for an answer to a question that nobody asked."""
    return invalid(f"No approval request found with id '{wanted[:_ECHO_CHARS]}'.", "input")


def cannot_cancel() -> Refused:
    """Return the 400 for a response that is not in the background, or is over."""
    return invalid("Cannot cancel a synchronous response.", None)


def unreachable(failed: Mapping[str, str]) -> Refused:
    """Return the 424 for a request that can do nothing without servers that cannot be reached."""
    return Refused(
        Refusal(
            status=424,
            type="external_connector_error",
            code="failed_dependency",
            message=" ".join(failed.values()),
            param="tools",
        )
    )


def bad_schema(name: str, cause: str) -> Refused:
    """Return the 400 for a schema that no answer could follow."""
    return invalid(
        f"Invalid schema for response_format '{name[:_ECHO_CHARS]}': {cause}.",
        "text.format.schema",
        code="invalid_json_schema",
    )


def in_words_of_responses(refusal: Refusal) -> Refusal:
    """Return a refusal with its field named as this API does."""
    param = refusal.param
    if refusal.code == "invalid_json_schema":
        return msgspec.structs.replace(refusal, param="text.format.schema")
    if refusal.code == "context_length_exceeded":
        return msgspec.structs.replace(refusal, param="input")
    if param is None:
        return refusal
    if param.startswith("messages["):
        return msgspec.structs.replace(refusal, param="input")
    if param.startswith(_CHAT_SCHEMA):
        message = refusal.message.replace(_CHAT_SCHEMA, _SCHEMA)
        return msgspec.structs.replace(refusal, param=param.replace(_CHAT_SCHEMA, _SCHEMA), message=message)
    return msgspec.structs.replace(refusal, param=FIELDS.get(param, param))
