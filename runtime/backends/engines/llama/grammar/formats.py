"""String formats as patterns: each accepts a subset of what a strict validator accepts. Pure.

llguidance knows some formats itself, but its patterns let through what validators refuse (30 February).
"""

_MONTH_DAY = (
    r"(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
)
_YEAR = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
"""Without the year 0, which many calendars do not have."""
_LEAP_DAY = r"([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29"
_DATE = rf"({_YEAR}-({_MONTH_DAY})|{_LEAP_DAY})"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_LABEL = r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"
_HOST = rf"{_LABEL}(\.{_LABEL})*"
_DOMAIN = rf"({_LABEL}\.)+[A-Za-z]{{2,24}}"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP = r"[0-9a-fA-F]{1,4}"
_COUNT = r"[0-9]{1,6}"
_PATH = r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*"
_QUERY = r"[A-Za-z0-9._~!$&'()*+,;=:@/?-]*"
_URI = rf"[a-zA-Z][a-zA-Z0-9+.-]{{1,15}}://{_HOST}(:[0-9]{{2,4}})?{_PATH}(\?{_QUERY})?(#{_QUERY})?"
_DURATION = rf"P({_COUNT}Y({_COUNT}M({_COUNT}D)?)?|{_COUNT}M({_COUNT}D)?|{_COUNT}D|{_COUNT}W)"
_CLOCK = rf"T({_COUNT}H({_COUNT}M({_COUNT}S)?)?|{_COUNT}M({_COUNT}S)?|{_COUNT}S)"

PATTERNS = {
    "date": rf"^{_DATE}$",
    "time": rf"^{_TIME}$",
    "date-time": rf"^{_DATE}T{_TIME}$",
    "duration": rf"^({_DURATION}|P{_CLOCK}|P{_COUNT}D{_CLOCK})$",
    "email": rf"^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@{_DOMAIN}$",
    "hostname": rf"^{_HOST}$",
    "ipv4": rf"^{_BYTE}(\.{_BYTE}){{3}}$",
    "ipv6": rf"^({_GROUP}(:{_GROUP}){{7}}|({_GROUP}(:{_GROUP}){{0,2}})?::({_GROUP}(:{_GROUP}){{0,2}})?)$",
    "uuid": r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    "uri": rf"^{_URI}$",
    "json-pointer": r"^(/[A-Za-z0-9_.-]*)*$",
    "relative-json-pointer": r"^(0|[1-9][0-9]{0,2})(#|(/[A-Za-z0-9_.-]*)*)$",
}
PATTERNS |= {
    "iri": PATTERNS["uri"],
    "uri-reference": rf"^({_URI}|{_PATH}(\?{_QUERY})?(#{_QUERY})?)$",
    "iri-reference": rf"^({_URI}|{_PATH}(\?{_QUERY})?(#{_QUERY})?)$",
    "uri-template": PATTERNS["uri"],
    "idn-email": PATTERNS["email"],
    "idn-hostname": PATTERNS["hostname"],
}
"""What a string of the format must match. A format that is not listed is an annotation: JSON Schema
leaves its meaning to the application."""

LONGEST = {"email": 63, "idn-email": 63, "hostname": 63, "idn-hostname": 63}
"""Characters of a text of the format: so no part of it is too long either."""

UNSUPPORTED = frozenset({"regex"})
"""Formats of JSON Schema that no pattern can hold."""
