"""The MCP server `time`: what time it is, and what it is elsewhere. It knows no calendar of anybody's."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio.to_thread
import msgspec
from mcp.server import Server

from runtime.core.clock import Clock
from runtime.core.errors import Fault, RequestInvalid
from runtime.mcp.servers.offering import READS, Call, Offer, told, tool_server

_INSTRUCTIONS = "Ask for the time instead of guessing it. Zones are named as in the IANA database."
_ZONES_LIMIT = 50
_ZONE = told("An IANA name, such as 'Europe/Lisbon'", min_length=1, max_length=64)
_CLOCK_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")

Zone = Annotated[str, _ZONE]


class NowGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of now."""

    zones: Annotated[list[Zone], told("Where; left out: where this machine is", max_length=_ZONES_LIMIT)] = []


class ConvertGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of convert."""

    time: Annotated[
        str,
        told("ISO 8601 ('2026-11-22T14:30', with or without an offset), or a time of today ('14:30')"),
    ]
    zone: Annotated[
        str | None, told("Whose time it is where it says no offset; left out: this machine's")
    ] = None
    to: Annotated[list[Zone], told("Zones to tell it in", min_length=1, max_length=_ZONES_LIMIT)]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A moment in one zone."""

    zone: str
    time: str
    """ISO 8601 with the offset."""
    weekday: str
    is_summer_time: bool


class NowResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of now."""

    epoch: float
    """Seconds since 1970 (UTC)."""
    moments: list[Moment]


class ConvertResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of convert."""

    given: Moment
    moments: list[Moment]


def time_server(clock: Clock) -> Server[Any]:
    """Return the server."""

    def tell(given: NowGiven) -> NowResult:
        epoch = clock.now()
        moment = datetime.fromtimestamp(epoch, UTC)
        return NowResult(epoch=round(epoch, 3), moments=_told_in(moment, given.zones))

    def tell_elsewhere(given: ConvertGiven) -> ConvertResult:
        moment = _read(given.time, given.zone, datetime.fromtimestamp(clock.now(), UTC))
        first = _moment(moment, given.zone or "local")
        return ConvertResult(given=first, moments=_told_in(moment, given.to))

    async def now(given: NowGiven, _: Call) -> NowResult:
        return await anyio.to_thread.run_sync(tell, given)  # zones are read from disk

    async def convert(given: ConvertGiven, _: Call) -> ConvertResult:
        return await anyio.to_thread.run_sync(tell_elsewhere, given)

    offers = (
        Offer(
            "now",
            "Now",
            "Tell the date, the time and the weekday, here or in other time zones.",
            NowGiven,
            NowResult,
            now,
            msgspec.structs.replace(READS, is_idempotent=False),
        ),
        Offer(
            "convert",
            "Convert a time",
            "Tell a time of one zone in other zones, summer time considered.",
            ConvertGiven,
            ConvertResult,
            convert,
            READS,
        ),
    )
    return tool_server("time", "Time", _INSTRUCTIONS, offers)


def _told_in(moment: datetime, zones: Sequence[str]) -> list[Moment]:
    if not zones:
        return [_moment(moment.astimezone(), "local")]
    return [_moment(moment.astimezone(_zone(each)), each) for each in zones]


def _moment(moment: datetime, zone: str) -> Moment:
    return Moment(
        zone=zone,
        time=moment.isoformat(timespec="seconds"),
        weekday=f"{moment:%A}",
        is_summer_time=bool(moment.dst()),
    )


def _read(text: str, zone: str | None, now: datetime) -> datetime:
    """Return the moment that a text stands for. Raises RequestInvalid."""
    where = now.astimezone().tzinfo if zone is None else _zone(zone)
    try:
        if _CLOCK_TIME.fullmatch(text):
            today: date = now.astimezone(where).date()
            return datetime.combine(
                today, time.fromisoformat(text.zfill(len(text) + text.index(":") % 2)), where
            )
        moment = datetime.fromisoformat(text)
    except ValueError as problem:
        raise _invalid(
            f"'time' is '{text[:60]}', which is none: write '2026-11-22T14:30' or '14:30'"
        ) from problem
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=where)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise _invalid(
            f"There is no time zone '{name[:60]}'. They are named like 'Europe/Lisbon' or 'UTC'"
        ) from problem


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=f"{message}."))
