"""Words are found in their other forms: twenty languages, scripts without spaces, names of programs."""
# ruff: noqa: RUF001 - letters of other alphabets are meant

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.core.knowledge import Span
from runtime.recall.database import open_database
from runtime.recall.lexical import scripts
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.lexical.words import LANGUAGES, Analyzers, known
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Truth, load_truth
from tests.kit.texts import put

FORMS = {
    "ar": ("قرأت الكتاب في المكتبة", "كتاب"),
    "cs": ("četl jsem o dvou knihách", "kniha"),
    "da": ("husene ligger ved vandet", "hus"),
    "de": ("die Häuser stehen am Wasser", "Haus"),
    "el": ("οι γάτες έτρεχαν στους δρόμους", "γάτα δρόμος"),
    "en": ("the houses were standing by the water", "house stand"),
    "es": ("los gatos corrían por las calles", "gato calle"),
    "fi": ("luin kirjoja kirjastossa", "kirja"),
    "fr": ("les chevaux couraient dans les champs", "cheval champ"),
    "hu": ("a házakban laktak", "házak"),
    "it": ("i gatti correvano nelle strade", "gatto strada"),
    "nl": ("de katten liepen door de straten", "kat straat"),
    "no": ("husene ligger ved vannet", "hus"),
    "pl": ("czytałem o dwóch książkach", "książka"),
    "pt": ("os gatos corriam pelas estradas", "gato estrada"),
    "ro": ("pisicile alergau pe străzi", "pisică"),
    "ru": ("кошки бежали по улицам", "кошка улица"),
    "sv": ("husen ligger vid vattnet", "hus"),
    "ta": ("புத்தகங்கள் படித்தேன்", "புத்தகம்"),
    "tr": ("kitaplar masada duruyor", "kitap"),
}


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        yield await load_truth(database)


@pytest.fixture
async def index(truth: Truth, tmp_path: Path) -> AsyncIterator[TextIndex]:
    opened = await open_text_index(tmp_path / "text", truth)
    yield opened
    await opened.aclose()


async def ids(index: TextIndex, text: str, language: str = "auto") -> list[int]:
    return [int(hit.chunk) for hit in (await index.search(1, text, language, 100, None)).hits]


def test_every_language_has_an_example() -> None:
    assert set(FORMS) == set(LANGUAGES)
    assert len(FORMS) == 20


async def test_other_forms_of_words_are_found_in_every_language(truth: Truth, index: TextIndex) -> None:
    stored = {code: (await put(truth, 1, code, text, language=code))[0] for code, (text, _) in FORMS.items()}

    for code, (text, question) in FORMS.items():
        for each in question.split():
            assert each not in text.split()
            assert stored[code] in await ids(index, each), (code, each)
            assert stored[code] in await ids(index, each, code), (code, each)
            assert index.highlights(each, text, code), (code, each)


async def test_portuguese_is_found_with_and_without_accents(truth: Truth, index: TextIndex) -> None:
    (nation,) = await put(truth, 1, "a", "A nação portuguesa e os seus corações", language="pt")
    (name,) = await put(truth, 1, "b", "O João foi à praça comprar pão de ló", language="pt-BR")

    for question in ("nação", "nacao", "NAÇÃO", "nações", "coração", "coracoes"):
        assert await ids(index, question) == [nation], question
    for question in ("joao", "João", "Joa\u0303o", "praca", "pão"):
        assert await ids(index, question, "pt") == [name], question
    assert await ids(index, "o que foi a nação", "pt") == [nation]


async def test_a_question_finds_a_text_whose_language_was_told_wrongly(
    truth: Truth, index: TextIndex
) -> None:
    (first,) = await put(truth, 1, "a", "a inflação subiu em Lisboa", language="en")
    (second,) = await put(truth, 1, "b", "a inflação subiu em Lisboa", language="es")
    (third,) = await put(truth, 1, "c", "a inflação subiu em Lisboa", language="")
    await put(truth, 1, "d", "outra coisa", language="pt")

    assert set(await ids(index, "inflação", "pt")) == {first, second, third}


async def test_stop_words_of_the_question_do_not_find_other_languages(truth: Truth, index: TextIndex) -> None:
    (portuguese,) = await put(truth, 1, "a", "O rei de Portugal foi Afonso", language="pt")
    await put(truth, 1, "b", "Catherine de Medici, o de facto ruler", language="en")

    assert await ids(index, "quem foi o rei de Portugal") == [portuguese]
    assert await ids(index, "quem foi o rei de Portugal", "pt") == [portuguese]


async def test_a_question_of_stop_words_alone_finds_them(truth: Truth, index: TextIndex) -> None:
    (chunk,) = await put(truth, 1, "a", "To be or not to be, that is the question")

    assert await ids(index, "to be or not to be") == [chunk]
    assert await ids(index, '"not to be"') == [chunk]


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("東京都の天気は晴れです", ["東京", "天気", "晴れ", "東京都", "晴"]),
        ("我爱北京天安门", ["北京", "天安门", "爱"]),
        ("나는 학교에서 공부했다", ["학교", "공부", "학교에서"]),
        ("ฉันชอบอ่านหนังสือที่ห้องสมุด", ["หนังสือ", "ห้องสมุด"]),
        ("Deploy 東京リージョン today", ["東京", "deploy", "deployed today", "リージョン"]),
        ("ＦＵＬＬ　ｗｉｄｔｈ", ["full", "width"]),
        ("हिन्दी में किताब", ["किताब", "हिन्दी"]),
        ("the \ufb01rst of\ufb01ce", ["first", "office"]),
    ],
)
async def test_words_of_other_scripts_are_found(
    truth: Truth, index: TextIndex, text: str, questions: list[str]
) -> None:
    (chunk,) = await put(truth, 1, "a", text, language="en" if text[0].isascii() else "")
    await put(truth, 1, "b", "something else 別の", language="")

    for question in questions:
        assert await ids(index, question) == [chunk], question
        assert index.highlights(question, text, ""), question


async def test_identifiers_are_found_whole_and_by_their_parts(truth: Truth, index: TextIndex) -> None:
    (whole,) = await put(truth, 1, "a", "call foo.bar() with user_id for GPT-4o in C++ via parseHTTPHeader")
    (parts,) = await put(truth, 1, "b", "the user has an id, foo and a bar, the gpt 4o, and a C header")

    for question in ("user_id", "GPT-4o", "foo.bar()", "C++", "parseHTTPHeader"):
        assert (await ids(index, question))[0] == whole, question
    for question in ("+user_id", "+gpt-4o", "+c++", "+foo.bar"):
        assert await ids(index, question) == [whole], question
    assert await ids(index, "-user_id id") == [parts]
    assert set(await ids(index, "header")) == {whole, parts}
    assert await ids(index, "http") == [whole]
    assert set(await ids(index, "user")) == {whole, parts}


async def test_the_query_language_means_what_it_says(truth: Truth, index: TextIndex) -> None:
    (first,) = await put(truth, 1, "a", "the red fox jumps over the lazy dog", title="Animals at night")
    (second,) = await put(truth, 1, "b", "red wine and a lazy evening; dogs welcome", title="Cellar")

    assert set(await ids(index, "red lazy")) == {first, second}
    assert await ids(index, "+red +fox") == [first]
    assert await ids(index, "+red +unicorn") == []
    assert await ids(index, "red -fox") == [second]
    assert await ids(index, "-fox") == []
    assert await ids(index, '"lazy dog"') == [first]
    assert await ids(index, '"dog lazy"') == []
    assert await ids(index, '"red jumps"') == []
    assert await ids(index, '"red jumps"~1') == [first]
    assert await ids(index, '+"red wine" dog') == [second]
    assert await ids(index, 'red -"red wine"') == [first]
    assert await ids(index, "jum*") == [first]
    assert await ids(index, "jmups~") == [first]
    assert await ids(index, "cellxr~1") == []
    assert await ids(index, "title:animal") == [first]
    assert await ids(index, "title:cell*") == [second]
    assert await ids(index, "red -title:cellar") == [first]
    assert await ids(index, "+title:night red") == [first]


def marked(index: TextIndex, question: str, text: str, language: str = "en") -> list[str]:
    return [text[span.start : span.end] for span in index.highlights(question, text, language)]


async def test_highlights_are_the_words_that_were_found(index: TextIndex) -> None:
    text = "😀 The Foxes ran; a fox runs. Café Cafe\u0301 user_id — 東京都 naïve"

    assert marked(index, "fox running the", text) == ["Foxes", "fox", "runs"]
    assert marked(index, "cafe", text) == ["Café", "Cafe\u0301"]
    assert marked(index, "user_id", text) == ["user_id"]
    assert marked(index, "東京", text) == ["東京"]
    assert marked(index, '"the foxes" -ran', text) == ["The", "Foxes"]
    assert marked(index, "naiv* ruxs~", text) == ["runs", "naïve"]
    assert marked(index, "", text) == []
    assert marked(index, "the", text) == ["The"]
    assert index.highlights("fox", "fox", "en") == (Span(0, 3),)


def test_codes_of_languages_are_read_as_people_write_them() -> None:
    assert [known(each) for each in ("pt", "PT", "pt-BR", "pt_PT", "nb", "auto", "", "xx", "zh")] == [
        "pt", "pt", "pt", "pt", "no", "", "", "", "",
    ]  # fmt: skip


def test_a_name_in_camel_case_is_taken_apart() -> None:
    assert scripts.humps("parseHTTPHeader getURL plain McDonald HTTP") == [
        "parse", "HTTP", "Header", "get", "URL", "Mc", "Donald",
    ]  # fmt: skip
    assert scripts.identifiers("see user_id, GPT-4o. C++/C# a.b.c std::vector __init__ 3.14 end. - x") == [
        "user_id", "gpt-4o", "c++", "c#", "a.b.c", "std::vector", "__init__", "3.14",
    ]  # fmt: skip


def test_words_are_cut_alike_by_the_fast_and_the_thorough_analyzer() -> None:
    analyzers = Analyzers()
    for text in ("It's 50% off! user_id x-y_z", "Ação: l'été à Évora, naïve", "a1b2 3.14 ½"):
        assert analyzers.plain(text) == [each for each in analyzers.plain(text + " 東") if each != "東"]
        for language in ("en", "pt", "", "cs"):
            assert analyzers.stems(text, language) == analyzers.stems(text + " 東", language)
