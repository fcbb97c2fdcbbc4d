"""All text of a tree of HTML, block by block, for pages, e-books and mails."""

from selectolax.lexbor import LexborNode

from runtime.recall.parse.draft import Draft, one_line

_SKIPPED_WORDS = (
    "audio canvas datalist dialog head iframe math nav noscript object script select style svg template video"
)
_SKIPPED = frozenset(_SKIPPED_WORDS.split())
_BLOCK_WORDS = (
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu ol p pre section summary table "
    "tbody tfoot thead tr ul"
)
_BLOCKS = frozenset(_BLOCK_WORDS.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = ("td", "th")
_KEEPING = ("tr", "li")
"""A paragraph inside these stays on their line."""
_LINE_CHARACTERS = 1_000_000


class _Blocks:
    """Collects runs of text until a block begins or ends."""

    def __init__(self, draft: Draft, level: int) -> None:
        self._draft = draft
        self._level = level
        self._parts: list[str] = []
        self._tag = "body"
        self._last = ""

    def enter(self, tag: str) -> None:
        if tag == "p" and self._tag in _KEEPING:
            self._parts.append(" ")
        elif tag in _BLOCKS:
            self.flush()
            self._tag = tag
        elif tag == "br":
            self._parts.append("\n")
        elif tag in _CELLS and "".join(self._parts).strip():
            self._parts.append(" | ")

    def leave(self, tag: str, around: str) -> None:
        if tag == "p" and around in _KEEPING:
            self._parts.append(" ")
        else:
            self.flush()
            self._tag = around

    def text(self, text: str) -> None:
        self._parts.append(text if self._tag == "pre" else " ".join(_edges(text)))

    def flush(self) -> None:
        """Give the draft what has come together."""
        text = "".join(self._parts)
        self._parts.clear()
        if not text.strip():
            return

        if self._tag in _HEADINGS:
            self._draft.heading(self._level + _HEADINGS[self._tag], text)
        elif self._tag == "li":
            self._draft.add(f"- {one_line(text, _LINE_CHARACTERS)}", "\n" if self._last == "li" else "\n\n")
        elif self._tag == "tr":
            self._draft.add(one_line(text, _LINE_CHARACTERS), "\n" if self._last == "tr" else "\n\n")
        elif self._tag == "pre":
            self._draft.add(text.strip("\n"))
        else:
            self._draft.add("\n".join(" ".join(line.split()) for line in text.split("\n")))
        self._last = self._tag


def _edges(text: str) -> list[str]:
    """Return the words of a text, with an empty one where white space stands at an edge."""
    words = text.split()
    if not words:
        return ["", ""] if text else [""]
    return [*([""] if text[0].isspace() else []), *words, *([""] if text[-1].isspace() else [])]


def add_blocks(root: LexborNode, draft: Draft, level: int = 0) -> None:
    """Add the text below a node; headings are `level` deeper than they say. Deep trees need no deep stack."""
    blocks = _Blocks(draft, level)
    node: LexborNode | None = root
    is_entering = True
    while node is not None and not draft.is_full:
        tag = node.tag or ""
        if is_entering:
            child = None if tag in _SKIPPED else _enter(node, tag, blocks)
            if child is not None:
                node = child
                continue

        if tag in _BLOCKS:
            blocks.leave(tag, _block_around(node, root))
        if node.mem_id == root.mem_id:
            break
        is_entering = node.next is not None
        node = node.next if is_entering else node.parent
    blocks.flush()


def _enter(node: LexborNode, tag: str, blocks: _Blocks) -> LexborNode | None:
    """Take a node in; return its first child."""
    if tag == "-text":
        blocks.text(node.text_content or "")
        return None
    blocks.enter(tag)
    return node.first_child


def _block_around(node: LexborNode, root: LexborNode) -> str:
    """Return the tag of the block that a node stands in."""
    at = node.parent if node.mem_id != root.mem_id else None
    while at is not None:
        if at.tag in _BLOCKS:
            return at.tag
        at = at.parent
    return "body"
