"""The language that a text is written in, by py3langid on samples of it."""

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]  # it ships no types

_SAMPLES = 3
_SAMPLE_CHARACTERS = 1200
_LETTERS = 24
"""Fewer letters tell nothing."""
_CONFIDENCE = 0.5
_NORWEGIAN = {"nb": "no", "nn": "no"}
_ISO_639_1 = 2


@cache
def _identifier() -> LanguageIdentifier:
    """Load the model once, when the first text comes: it takes longer than most texts do."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a text's language, empty where it cannot be told."""
    sample = _sample(text)
    if sum(map(str.isalpha, sample)) < _LETTERS:
        return ""

    language, confidence = _identifier().classify(sample)
    code = _NORWEGIAN.get(language, language)
    return code if confidence >= _CONFIDENCE and len(code) == _ISO_639_1 else ""


def confidence(text: str) -> float:
    """Return how sure it is which language a text is written in, 0 to 1."""
    return float(_identifier().classify(_sample(text))[1])


def _sample(text: str) -> str:
    """Return stretches from the beginning, the middle and the end."""
    if len(text) <= _SAMPLES * _SAMPLE_CHARACTERS:
        return text
    gap = (len(text) - _SAMPLE_CHARACTERS) // (_SAMPLES - 1)
    return "\n".join(text[start : start + _SAMPLE_CHARACTERS] for start in range(0, gap * _SAMPLES, gap))
