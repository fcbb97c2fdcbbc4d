"""Containers (docx, pptx, xlsx, epub) opened with bounds: members, sizes and ratios as their directory tells.

Python's zipfile never unpacks more of a member than its directory says, so bounds on those sizes hold.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from runtime.recall.parse.faults import broken, encrypted, too_large
from runtime.recall.parse.limits import MIB, Limits

_IS_ENCRYPTED = 0x1


@contextmanager
def open_container(path: Path, what: str, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Open a container whose directory keeps the limits. Raises Refused."""
    try:
        with zipfile.ZipFile(path) as container:
            check(container, what, limits)
            yield container
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as problem:
        raise broken(what, str(problem) or "its archive ends early") from problem


def check(container: zipfile.ZipFile, what: str, limits: Limits) -> None:
    """Refuse what would unpack to too much, and what asks for a password."""
    members = container.infolist()
    if len(members) > limits.members:
        raise too_large(f"It is {what} of {len(members):,} parts", f"{limits.members:,}")
    if any(each.flag_bits & _IS_ENCRYPTED for each in members):
        raise encrypted(what)

    unpacked = sum(each.file_size for each in members)
    if unpacked > limits.unpacked_bytes:
        raise too_large(
            f"It is {what} that unpacks to {unpacked // MIB:,} MiB", f"{limits.unpacked_bytes // MIB:,} MiB"
        )
    for each in members:
        times = each.file_size // max(each.compress_size, 1)
        if each.file_size > MIB and times > limits.ratio:
            raise too_large(
                f"It is {what} with a part that is packed {times:,} times", f"{limits.ratio} times"
            )


def parse_xml(content: bytes) -> etree._Element:
    """Return the root of an XML document. Entities are not resolved, nothing is fetched.

    Raises etree.XMLSyntaxError.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(content, parser)
    if root is None:
        raise etree.XMLSyntaxError("the document has no root", 0, 0, 0)
    return root
