"""Plurals that the stemmers of Portuguese and Spanish do not bring to their singulars. Pure.

Portuguese: nações, pães, animais, hotéis, possíveis, lençóis, homens; Spanish: luces, voces. What it makes
need not be a word, only the same for both numbers, with accents and without.
"""

import re

_BEFORE, _AFTER = r"(?<![^\W_])", r"(?![^\W_])"
"""Where a word begins and ends; an underscore is between words."""
_SPOKEN_FOR = "".join(f"(?<!{_BEFORE}{each})" for each in ("m", "p", "c", "dem", "jam"))
"""mais, pais, cais, demais, jamais; and mães."""
_PORTUGUESE = re.compile(
    rf"(?:{_SPOKEN_FOR}(?:(?P<al>ais)|(?P<ao>[ãa]es))|(?P<ão>[õo]es)|(?P<el>éis|(?<=[^\W_][^\W_][^\W_])eis)"
    rf"|(?P<ol>óis)|(?<=[aeio])(?P<m>ns)){_AFTER}",
    re.IGNORECASE,
)
_PORTUGUESE_SINGULARS = {"al": "al", "ao": "ão", "ão": "ão", "el": "el", "ol": "ol", "m": "m"}
_SPANISH = re.compile(rf"(?<=[aeiouáéíóú])ces{_AFTER}", re.IGNORECASE)
LANGUAGES = frozenset({"pt", "es"})


def singular(text: str, language: str) -> str:
    """Return a text with such plurals in the singular."""
    match language:
        case "pt":
            return _PORTUGUESE.sub(lambda match: _PORTUGUESE_SINGULARS[match.lastgroup or ""], text)
        case "es":
            return _SPANISH.sub("z", text)
        case _:
            return text
