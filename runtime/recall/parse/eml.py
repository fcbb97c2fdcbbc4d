"""E-mails: who wrote to whom and when, the text, the names of what was attached."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from selectolax.lexbor import LexborHTMLParser

from runtime.recall.parse.decode import decode
from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.faults import broken
from runtime.recall.parse.html_blocks import add_blocks
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed

_WHAT = "an e-mail"
_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_DEPTH = 5
"""Mails inside mails: deeper ones are left out."""
_HEADER_CHARACTERS = 2000


def read(source: Source) -> Parsed:
    """Read an e-mail, or a web page saved as one (MHTML)."""
    try:
        mail = message_from_bytes(source.content(), policy=default)
    except (ValueError, LookupError, RecursionError) as problem:
        raise broken(_WHAT, str(problem)) from problem

    draft = Draft(source.limits)
    attached: list[str] = []
    _add(mail, draft, attached, 0)
    draft.title = _header(mail, "Subject")
    if attached:
        draft.add("Attachments: " + ", ".join(attached))
        draft.note(f"{len(attached)} attachments were not read: {one_line(', '.join(attached), 500)}.")
    return draft.parsed(source.media_type)


def _add(mail: EmailMessage, draft: Draft, attached: list[str], depth: int) -> None:
    for number, name in enumerate(name for name in _HEADERS if _header(mail, name)):
        draft.add(f"{name}: {_header(mail, name)}", "\n" if number else "\n\n")
    body = _body(mail)
    if body is not None:
        _add_text(body, draft)
    for part in mail.walk() if depth == 0 else ():
        if part is body or (part.is_multipart() and part.get_content_type() != "message/rfc822"):
            continue
        if part.get_content_type() == "message/rfc822":
            _add_inner(part, draft, attached, depth)
        elif _is_attached(part):
            attached.append(one_line(_file_name(part)) or part.get_content_type())


def _add_inner(part: EmailMessage, draft: Draft, attached: list[str], depth: int) -> None:
    """Add a mail that was forwarded as a whole."""
    inner = part.get_payload()
    first = inner[0] if isinstance(inner, list) and inner else None
    if isinstance(first, EmailMessage) and depth < _DEPTH:
        draft.heading(1, _header(first, "Subject") or "Forwarded mail", is_shown=False)
        _add(first, draft, attached, depth + 1)


def _body(mail: EmailMessage) -> EmailMessage | None:
    """Return the part that is the text, plain text rather than HTML."""
    try:
        found = mail.get_body(preferencelist=("plain", "html"))
    except (KeyError, ValueError, AttributeError, TypeError):  # a mail whose structure is odd
        found = None
    if found is None and not mail.is_multipart() and mail.get_content_maintype() == "text":
        return mail
    return found if isinstance(found, EmailMessage) else None


def _add_text(part: EmailMessage, draft: Draft) -> None:
    content = part.get_payload(decode=True)
    text = decode(content if isinstance(content, bytes) else b"", _charset(part)).text
    if part.get_content_type() == "text/html":
        tree = LexborHTMLParser(text)
        if tree.body is not None:
            add_blocks(tree.body, draft)
    else:
        draft.add(text)


def _charset(part: EmailMessage) -> str:
    try:
        return part.get_content_charset() or ""
    except (LookupError, ValueError, AttributeError):
        return ""


def _header(mail: EmailMessage, name: str) -> str:
    try:
        value = mail[name]
    except (ValueError, IndexError, KeyError, AttributeError, TypeError):  # headers that no rule foresaw
        return ""
    return one_line(str(value), _HEADER_CHARACTERS) if value else ""


def _is_attached(part: EmailMessage) -> bool:
    try:
        return (
            part.is_attachment()
            or bool(_file_name(part))
            or part.get_content_maintype() not in ("text", "multipart")
        )
    except (ValueError, IndexError, KeyError, AttributeError, TypeError):
        return False


def _file_name(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, IndexError, KeyError, AttributeError, TypeError):
        return ""
