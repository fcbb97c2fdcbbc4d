"""Turns the JSON Schema of a request into the one that decoding follows. Pure.

The decoding schema means the same or less, in keywords that llguidance honours to the letter: what it would
overlook is proven, rewritten or refused here, and what a small model could go on with for ever is bounded.
Found by trying each keyword with llguidance 1.9.1, which

- ignores unknown keywords, the names of free properties that occur twice (spelled with escapes, also named
  ones), and its own options below the top;
- loses whole numbers beyond 2**53, and accepts 30 February as a date;
- refuses `not`, `if`, `contains`, `uniqueItems`, `dependent…`, `unevaluated…`, `propertyNames`, most `oneOf`,
  look-around, and counts of properties beside optional ones.

The order of properties is that of the schema. Whitespace is that of `json.dumps`.
"""

from typing import Any

from runtime.backends.engines.llama.grammar.bounds import Limits
from runtime.backends.engines.llama.grammar.keywords import Place, Refused, check_shapes
from runtime.backends.engines.llama.grammar.reader import Reader
from runtime.backends.engines.llama.grammar.writer import Writer
from runtime.backends.protocol import Fault

LAYOUT = {
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    "json_allowed_escapes": 'nrbtf\\"',
}
r"""llguidance's options. Without \u0041 a name has one spelling, so no named property can come twice."""

_DEFAULT = Limits()


def bound_schema(schema: dict[str, Any], *, param: str, limits: Limits = _DEFAULT) -> dict[str, Any] | Fault:
    """Return the decoding schema, or a Fault that names the keyword that cannot be honoured."""
    try:
        root = Place((), schema)
        check_shapes(root)
        writer = Writer(Reader(schema), limits)
        written = writer.write((root,))
    except Refused as refused:
        return Fault(
            code="invalid_json_schema", message=f"The schema cannot be used: {refused}.", param=param
        )
    except RecursionError:
        message = "The schema cannot be used: it is nested too deeply. Move inner parts to $defs."
        return Fault(code="invalid_json_schema", message=message, param=param)

    if written is False:
        message = (
            "The schema cannot be used: no value can meet it. Look for limits that contradict each other."
        )
        return Fault(code="invalid_json_schema", message=message, param=param)

    assert isinstance(written, dict)
    return {"x-guidance": LAYOUT, **written} | ({"$defs": writer.definitions} if writer.definitions else {})
