"""How results of calls that Lar itself carries out are made, errors included; a model reads both."""

from typing import Any

import msgspec

from runtime.core.agents.items import Answered, Called, Citation, Text
from runtime.core.minting import new_id


def text_result(
    call: Called, text: str, *, structured: Any = None, citations: tuple[Citation, ...] = ()
) -> Answered:
    """Return a result of one text."""
    return Answered(
        id=new_id("res_"),
        call_id=call.call_id,
        parts=(Text(text=text, citations=citations),),
        structured=structured,
        form=call.form,
    )


def failed(call: Called, message: str, code: str = "") -> Answered:
    """Return a result that says why there is none, with the way out."""
    return Answered(
        id=new_id("res_"),
        call_id=call.call_id,
        parts=(Text(text=message),),
        is_error=True,
        code=code,
        form=call.form,
        status="failed",
    )


def arguments_of(call: Called) -> dict[str, Any]:
    """Return a call's arguments; of what is no JSON object, none. The schema was held before."""
    try:
        told = msgspec.json.decode(call.arguments or b"{}")
    except msgspec.DecodeError:
        return {}
    return told if isinstance(told, dict) else {}
