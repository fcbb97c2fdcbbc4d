"""What reading one document may take. Pure words."""

import msgspec

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one document.

    Beyond those of size, time, memory and packing it is refused; beyond the others, what is too much is left
    out and a note says so.
    """

    size_bytes: int = 256 * MIB
    time_s: float = 300.0
    memory_bytes: int = 2048 * MIB
    """Address space of the child on Linux, resident memory elsewhere."""
    members: int = 20_000
    """Files inside a container such as docx or epub."""
    unpacked_bytes: int = 1024 * MIB
    """Of all members of a container together."""
    ratio: int = 250
    """How many times its packed size a member above a megabyte may have. Text reaches 20, tables 50."""
    characters: int = 32_000_000
    """Of text; a thick book has one million."""
    rows: int = 200_000
    """Of all tables of a document together."""
    columns: int = 512
    pages: int = 10_000
    ocr_pages: int = 300
    """Scanned pages that are read by OCR; each takes seconds."""
