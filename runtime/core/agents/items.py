"""The words of a conversation: what was said, thought, called and answered, each an item with an id.

Items are durable and plain: a run's input and output, a session's history, and what a prompt is made of are
the same items. A call and its result are two items with one `call_id`, whoever carries the call out.
"""

from typing import Any, Literal

import msgspec

from runtime.core.messages import ChosenLogprob

ItemStatus = Literal["in_progress", "completed", "incomplete", "failed"]
CallForm = Literal[
    "function",
    "custom",
    "mcp",
    "file_search",
    "web_search",
    "code_interpreter",
    "image_generation",
    "shell",
    "local_shell",
    "apply_patch",
]
"""What kind of tool a call is of. The faces show each in words of its own."""


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a passage of an answer comes from: a file, or a page with its address."""

    index: int = 0
    """Of a file: the character of the text after which it stands."""
    file_id: str | None = None
    filename: str = ""
    url: str | None = None
    title: str = ""
    start: int = 0
    end: int = 0
    """Of a page: the characters of the text that it supports."""


class Text(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Text of a message or of a result."""

    text: str
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[ChosenLogprob, ...] = ()


class Picture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="picture"):
    """A picture: its bytes, or the stored file that holds them."""

    data: bytes | None = None
    file_id: str | None = None
    url: str | None = None
    """As it was given, where the bytes came in a data URL or from a page; for showing it again."""
    detail: str = "auto"


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="document"):
    """A file as part of a message; its text is what a model reads."""

    filename: str = ""
    file_id: str | None = None
    url: str | None = None
    data: str | None = None
    """As it was given: a data URL; for showing it again."""
    text: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="refusal"):
    """What a model said instead of an answer."""

    text: str


Part = Text | Picture | Document | Refusal


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="item"):
    """Base of all items."""

    id: str


class Said(Item, frozen=True, kw_only=True, omit_defaults=True, tag="said"):
    """A message."""

    role: Literal["user", "assistant", "system", "developer"]
    parts: tuple[Part, ...]
    status: ItemStatus = "completed"
    phase: str | None = None
    """Of an assistant's message: `commentary` before calls, `final_answer`; None: nobody said."""
    author: str | None = None
    """The agent that wrote it, in a team."""

    @property
    def text(self) -> str:
        """The text of all parts."""
        return "\n".join(each.text for each in self.parts if isinstance(each, Text | Refusal | Document))


class Thought(Item, frozen=True, kw_only=True, omit_defaults=True, tag="thought"):
    """What a reasoning model wrote before its answer."""

    text: str
    summary: tuple[str, ...] = ()
    status: ItemStatus = "completed"


class Called(Item, frozen=True, kw_only=True, omit_defaults=True, tag="called"):
    """A model wants a tool called. `arguments` is JSON text; of a custom tool, its input as it stands."""

    call_id: str
    name: str
    """As the model calls it."""
    arguments: str
    form: CallForm = "function"
    by_client: bool = True
    """Whether the client carries it out; else Lar does."""
    server: str = ""
    """Of `mcp`: the server's label, as the asker named it."""
    tool: str = ""
    """Of `mcp`: the tool as its server names it. Of others the same as `name` if empty."""
    namespace: str | None = None
    approval: str | None = None
    """The approval that let it pass."""
    status: ItemStatus = "completed"
    extra: dict[str, Any] = {}
    """More words of the face that gave it, to be shown again."""


class Answered(Item, frozen=True, kw_only=True, omit_defaults=True, tag="answered"):
    """The result of a call."""

    call_id: str
    parts: tuple[Part, ...] = ()
    structured: Any = None
    """What the tool said beside its text: search results, outputs of a program."""
    is_error: bool = False
    code: str = ""
    """Where Lar and not the tool says no: denied, asked, timeout, unreachable, …"""
    form: CallForm = "function"
    status: ItemStatus = "completed"
    extra: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The text of all parts."""
        return "\n".join(each.text for each in self.parts if isinstance(each, Text | Refusal | Document))


class Listed(Item, frozen=True, kw_only=True, omit_defaults=True, tag="listed"):
    """The tools of a server that the asker named."""

    server: str
    tools: tuple[dict[str, Any], ...] = ()
    """Each with name, description, input_schema, annotations."""
    error: str | None = None


class Wanted(Item, frozen=True, kw_only=True, omit_defaults=True, tag="wanted"):
    """A person must approve a call before it is made; `id` is what the answer names."""

    call_id: str
    name: str
    server: str
    tool: str
    arguments: str


class Decided(Item, frozen=True, kw_only=True, omit_defaults=True, tag="decided"):
    """The person's answer to a `Wanted`."""

    wanted: str
    is_approved: bool
    reason: str = ""


class Compacted(Item, frozen=True, kw_only=True, omit_defaults=True, tag="compacted"):
    """A summary in the place of all that stood before it."""

    summary: str


class Foreign(Item, frozen=True, kw_only=True, omit_defaults=True, tag="foreign"):
    """An item that Lar keeps and shows again but a model is not told of (or as its text alone)."""

    body: dict[str, Any]
    text: str = ""


AnyItem = Said | Thought | Called | Answered | Listed | Wanted | Decided | Compacted | Foreign
