"""Finds the smallest value that meets a JSON Schema: what the scripted engine answers where one is given.

A search, not a translation: alternatives are laid out, values proposed from the smallest up, and each is
checked against the schema itself before it counts. So what is found is right, or nothing is found and
the reason has a keyword and a place.

    schemas ──list_variants──► alternatives ──_propose──► values ──find_violation──► candidates

A schema that contains itself is searched level by level, so that its value ends as early as it can.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from runtime.backends.engines.scripted.conformity import Inspection, first, is_same
from runtime.backends.engines.scripted.scalars import as_fraction, list_numbers, list_strings
from runtime.backends.engines.scripted.schema import Document, Schema, SchemaRefused
from runtime.backends.engines.scripted.variants import (
    Located,
    Variant,
    find_greatest,
    find_least,
    item_of,
    list_names,
    list_types,
    list_values,
    list_variants,
    prefix_length,
    property_of,
    span_of,
)

MAX_DEPTH = 32
"""Levels that a value may nest."""
MAX_ITEMS = 1024
"""Items or properties that one array or object is given."""
_MAX_VARIANTS = 64
_MAX_REJECTED = 128
"""Wrong proposals in a row after which an alternative is given up."""
_MAX_GUESSES = 16
"""Values of one type that are tried where several types may be meant."""
_MAX_SWAPS = 4
"""Other values tried for one property or item while the rest stays as it is."""
_NOTHING = object()
"""No value at all; None is a value."""


def find_minimal(schema: Schema, *further: Schema) -> Any:
    """Return the smallest value that meets the schema, and the further ones. Raises SchemaRefused."""
    wanted = tuple(Located(each, "#") for each in (schema, *further))
    search = _Search(Document(schema))
    try:
        for levels in range(1, MAX_DEPTH + 1):
            found = search.run(wanted, levels)
            if found is not _NOTHING:
                return found

            if not search.is_cut_short:
                break
    except RecursionError as error:
        raise SchemaRefused("schema", "#", "nests too deeply") from error

    raise search.verdict()


class _Search:
    def __init__(self, document: Document) -> None:
        self.is_cut_short = False
        """Whether the last run met its limit of levels, so that one level more may help."""
        self._document = document
        self._inspection = Inspection(document)
        self._levels = 0
        self._cut_at = "#"
        self._reason: SchemaRefused | None = None

    def run(self, wanted: tuple[Located, ...], levels: int) -> Any:
        """Return a value that nests no deeper than the levels; _NOTHING where there is none."""
        self.is_cut_short, self._levels, self._reason = False, levels, None
        return next(self._candidates(wanted, 1), _NOTHING)

    def verdict(self) -> SchemaRefused:
        """Return why the last run found nothing."""
        if self._reason is not None:
            return self._reason

        if self.is_cut_short:
            return SchemaRefused("$ref", self._cut_at, f"needs a value of more than {MAX_DEPTH} levels")

        return SchemaRefused("schema", "#", "has no value that the search finds")

    def _refuse(self, keyword: str, path: str, why: str) -> None:
        """Remember the first reason of a run: the innermost one, since values are built from within."""
        if self._reason is None:
            self._reason = SchemaRefused(keyword, path, why)

    def _refuse_limit(self, variant: Variant, *words: str) -> None:
        """Refuse for the first of these keywords that stands in the variant."""
        for word in words:
            for keywords, path in variant:
                if word in keywords:
                    return self._refuse(word, path, f"{keywords[word]} leaves no value that can be made")

        return None

    def _candidates(self, wanted: tuple[Located, ...], level: int) -> Iterator[Any]:
        """Yield values that meet all the schemas, the smallest first."""
        if level > self._levels:
            self.is_cut_short, self._cut_at = True, wanted[0].path if wanted else "#"
            return

        for variant in islice(list_variants(self._document, wanted), _MAX_VARIANTS):
            if isinstance(variant, SchemaRefused):
                self._refuse(variant.keyword, variant.path, variant.why)
                continue

            rejected = 0
            for value in self._propose(variant, level):
                violation = first(self._inspection.find_violation(value, *each) for each in variant)
                if violation is None:
                    rejected = 0
                    yield value
                    continue

                self._refuse(*violation)
                rejected += 1
                if rejected > _MAX_REJECTED:
                    break

    def _first_candidate(self, wanted: tuple[Located, ...], level: int) -> Any:
        return next(self._candidates(wanted, level), _NOTHING)

    def _propose(self, variant: Variant, level: int) -> Iterator[Any]:
        """Yield values to try: those that the schema itself names, then made ones."""
        for keywords, _ in variant:
            if "const" in keywords or "enum" in keywords:
                yield from [keywords["const"]] if "const" in keywords else keywords["enum"]
                return

        yield from list_values(variant, "default")
        yield from (example for examples in list_values(variant, "examples") for example in examples)
        names = list_types(variant)
        if isinstance(names, SchemaRefused):
            self._refuse(names.keyword, names.path, names.why)
            return

        most = None if len(names) == 1 else _MAX_GUESSES
        for name in names:
            yield from islice(self._make(name, variant, level), most)

    def _make(self, name: str, variant: Variant, level: int) -> Iterator[Any]:
        match name:
            case "null":
                return iter((None,))
            case "boolean":
                return iter((False, True))
            case "string":
                return self._strings(variant)
            case "array":
                return self._arrays(variant, level)
            case "object":
                return self._objects(variant, level)
            case _:
                return self._numbers(variant, is_whole=name == "integer")

    def _numbers(self, variant: Variant, *, is_whole: bool) -> Iterator[int | float]:
        steps = [as_fraction(step) for step in list_values(variant, "multipleOf")]
        if is_whole:
            steps.append(as_fraction(1))

        number = None
        for number in list_numbers(span_of(variant), steps):
            yield number

        if number is None:
            words = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
            self._refuse_limit(variant, *words)

    def _strings(self, variant: Variant) -> Iterator[str]:
        text = None
        least, most = find_greatest(variant, "minLength"), find_least(variant, "maxLength")
        for text in list_strings(least, most, list_values(variant, "format")):
            yield text

        if text is None:
            self._refuse_limit(variant, "minLength", "maxLength", "format")

    def _arrays(self, variant: Variant, level: int) -> Iterator[list[Any]]:
        """Yield arrays of the smallest length, and single longer ones."""
        contained = max(
            (int(keywords.get("minContains", 1)) for keywords, _ in variant if "contains" in keywords),
            default=0,
        )
        least = max(find_greatest(variant, "minItems"), contained)
        most = find_least(variant, "maxItems")
        if least > MAX_ITEMS or (most is not None and most < least):
            self._refuse_limit(variant, "minItems", "minContains", "contains")
            return

        is_unique = any(list_values(variant, "uniqueItems"))
        for length in dict.fromkeys((least, least + 1, max(least, contained + prefix_length(variant)))):
            if most is None or length <= most:
                wanted = [
                    item_of(variant, index, is_contained=index >= length - contained)
                    for index in range(length)
                ]
                yield from self._rows(wanted, level + 1, is_unique=is_unique)

    def _rows(self, wanted: list[tuple[Located, ...]], level: int, *, is_unique: bool) -> Iterator[list[Any]]:
        """Yield arrays: the smallest item everywhere, then one item after another swapped."""
        row = self._smallest_row(wanted, level, is_unique=is_unique)
        if row is None:
            return

        yield row
        for index, each in enumerate(wanted[:_MAX_SWAPS]):
            for item in islice(self._candidates(each, level), 1, _MAX_SWAPS):
                yield [*row[:index], item, *row[index + 1 :]]

    def _smallest_row(
        self, wanted: list[tuple[Located, ...]], level: int, *, is_unique: bool
    ) -> list[Any] | None:
        """Return the smallest item for each place, no two the same where they must differ."""
        row: list[Any] = []
        streams: dict[tuple[str, ...], Iterator[Any]] = {}
        known: dict[tuple[str, ...], Any] = {}
        for each in wanted:
            place = tuple(located.path for located in each)
            if is_unique:
                stream = streams.setdefault(place, self._candidates(each, level))
                item = next((item for item in stream if not _holds(row, item)), _NOTHING)
            elif place in known:
                item = known[place]
            else:
                item = known[place] = self._first_candidate(each, level)

            if item is _NOTHING:
                if is_unique and row:
                    self._refuse("uniqueItems", each[0].path, "asks for more values than there are")
                return None
            row.append(item)

        return row

    def _objects(self, variant: Variant, level: int) -> Iterator[dict[str, Any]]:
        """Yield objects: the needed properties alone, then one swapped, then one more added."""
        names = list_names(variant)
        least = find_greatest(variant, "minProperties")
        if max(least, len(names)) > MAX_ITEMS:
            self._refuse_limit(variant, "minProperties", "required")
            return

        found: dict[str, Any] = {}
        for name in names:
            found[name] = self._first_candidate(property_of(variant, name), level + 1)
            if found[name] is _NOTHING:
                return

        spare = self._spare_properties(variant, names, level + 1)
        found.update(islice(spare, max(0, least - len(found))))
        yield found
        for name in tuple(found):
            for value in islice(self._candidates(property_of(variant, name), level + 1), 1, _MAX_SWAPS):
                yield {**found, name: value}

        for name, value in islice(spare, _MAX_SWAPS):
            yield {**found, name: value}

    def _spare_properties(self, variant: Variant, names: list[str], level: int) -> Iterator[tuple[str, Any]]:
        """Yield properties that are allowed but not needed: the declared ones, then invented ones."""
        declared = [name for properties in list_values(variant, "properties") for name in properties]
        for name in dict.fromkeys(declared):
            if name not in names and self._may_be_named(variant, name):
                value = self._first_candidate(property_of(variant, name), level)
                if value is not _NOTHING:
                    yield name, value

        for number in range(1, MAX_ITEMS + 1):
            name = f"property{number}"
            if name in names or name in declared:
                continue

            value = self._first_candidate(property_of(variant, name), level)
            if value is _NOTHING or not self._may_be_named(variant, name):
                return
            yield name, value

    def _may_be_named(self, variant: Variant, name: str) -> bool:
        rules = [
            Located(keywords["propertyNames"], f"{path}/propertyNames")
            for keywords, path in variant
            if "propertyNames" in keywords
        ]
        return first(self._inspection.find_violation(name, *rule) for rule in rules) is None


def _holds(row: list[Any], item: Any) -> bool:
    return any(is_same(item, earlier) for earlier in row)
