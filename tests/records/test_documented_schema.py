"""The page on formats has every key of a schema, in examples that are read."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from records import Schema, load_schema
from records.formats import AUTO, format_of, known_suffixes

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_key_has_an_example_that_is_read(tmp_path: Path) -> None:
    schemas = []
    for number, text in enumerate(EXAMPLES):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        schemas.append(load_schema(path))
    for field in dataclasses.fields(Schema):
        assert any(re.search(rf"^{field.name}:", text, re.MULTILINE) for text in EXAMPLES), field
    mine, small = schemas
    assert mine.unknown_labels_key == "not_rated" and mine.label_encoding == "indices"
    assert mine.label_verticals[75] == (0,) and mine.vertical_names == ("Animals", "Music")
    assert small.label_names == ("dog", "piano")


def test_every_format_is_listed() -> None:
    # Tests before it may have registered some of their own.
    own = [
        suffix
        for suffix in known_suffixes(AUTO)
        if format_of(Path(f"a{suffix}"), AUTO).file.__module__.startswith("records.")
    ]
    assert len(own) == 11
    for suffix in own:
        assert f"`{suffix.removesuffix('.gz')}`" in PAGE
