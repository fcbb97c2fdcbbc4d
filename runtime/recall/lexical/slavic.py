"""Light stemmers for Czech and Polish, which the library has none for: endings off, consonants levelled.

They serve to bring the cases of a noun and an adjective together, not to find roots: a stem need not be a
word, only the same for its forms. Pure.
"""

from functools import lru_cache

_SHORTEST_STEM = 3
_LISTS = {
    "cs": """
        atech ětem etem atům ových ovými ovém ového ovou ické ický ických ického ickým ími ými ích ých
        ich ého ému ěmi emi ete eti iho ího imu ách ata aty ama ami ové ovi ech em es ém ím ům at ám ým
        mi ou ev ův a e i o u y á é í ý ě ů
    """,
    "pl": """
        owanie owania owych owymi owego owemu owej owie iami iach iego iemu ymi imi ych ich ego emu ami
        ach iej iem iom ów om em ej ym im ie ia io ią ię iu ać eć ić yć ał ała ało ali ały a e i o u y ą
        ę ó
    """,
}
_LEVELLED = {
    "cs": (
        ("čt", "ck"),
        ("št", "sk"),
        ("c", "k"),
        ("č", "k"),
        ("z", "h"),
        ("ž", "h"),
        ("ř", "r"),
        ("ň", "n"),
    ),
    "pl": (
        ("dz", "g"),
        ("rz", "r"),
        ("sz", "s"),
        ("cz", "k"),
        ("c", "k"),
        ("ł", "l"),
        ("ś", "s"),
        ("ń", "n"),
    ),
}
"""Consonants that change before some endings: kniha, knize; noga, nodze."""
_ENDINGS = {code: tuple(sorted(endings.split(), key=len, reverse=True)) for code, endings in _LISTS.items()}
LANGUAGES = frozenset(_ENDINGS)


@lru_cache(maxsize=50_000)
def stem(word: str, language: str) -> str:
    """Return the stem of a word in lower case, in Czech (cs) or Polish (pl)."""
    found = next(
        (word[: -len(each)] for each in _ENDINGS[language] if word.endswith(each) and _is_long(word, each)),
        word,
    )
    if len(found) > _SHORTEST_STEM and found[-2:] in ("ek", "ec"):
        found = found[:-2] + found[-1]
    if language == "pl":
        found = found.replace("ó", "o")
    for former, level in _LEVELLED[language]:
        if found.endswith(former) and len(found) > len(former) + 1:
            return found[: -len(former)] + level
    return found


def _is_long(word: str, ending: str) -> bool:
    return len(word) - len(ending) >= _SHORTEST_STEM
