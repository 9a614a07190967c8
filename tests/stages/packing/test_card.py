"""The model card, as two libraries read it that know nothing of ours; its names may be hostile."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from records import Schema, Stream
from stages.packing.card import model_card
from stages.packing.receipt import MemberReceipt, Receipt, TagsReceipt

HOSTILE = (
    "# x",
    "a|b",
    "[x](javascript:alert(1))",
    "![x](http://evil/x.png)",
    "<script>alert(1)</script>",
    "`code`",
    "**bold** _it_ ~~no~~",
    "http://evil.example",
    "x\n---\nlicense: mit\n---\n# y",
    "\x1b[31mred\u202e\u2028",
    "&lt;b&gt;",
    "'\": {}[] !!python/object:os.system",
    "- 1. > \\",
    "```\nrm -rf\n```",
)
CLIPS = {"train": 1000, "search": 200, "report": 300}


def card_of(name: str) -> str:
    schema = Schema(
        name, "frame", (Stream(name, 8), Stream("audio", 4, "float32")), 2, label_names=(name, "b")
    )
    member = MemberReceipt(name, name, name, 1_000, 1.0, 0.5, 0.5)
    receipt = Receipt(bytes=5_000, budget_bytes=6_000, gap=0.5, members=(member,), hashes={})
    return model_card(name, schema, CLIPS, 0, receipt)


def parts_of(card: str) -> tuple[dict[str, Any], str]:
    """Front matter and body, as Hugging Face parts them."""
    found = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))", card)
    assert found
    return yaml.safe_load(found[2]), card[found.end() :]


def html_of(body: str) -> str:
    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body))


def shape_of(html: str) -> list[str]:
    """The tags, without what stands between them."""
    return re.findall(r"</?[a-z0-9]+", html)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_nothing_but_a_name(name: str) -> None:
    values, body = parts_of(card_of(name))
    harmless, plain = parts_of(card_of("name"))
    html = html_of(body)
    assert shape_of(html) == shape_of(html_of(plain))
    assert values.keys() == harmless.keys() and "license" not in values
    (model,) = values["model-index"]
    (result,) = model["results"]
    assert result["dataset"]["name"] == model["name"] and model["name"].isprintable()
    if name.isprintable():
        assert model["name"] == name
    # Everything is on its own line, and can be printed.
    assert all(line.isprintable() for line in card_of(name).splitlines())
    assert len(card_of(name).split("\n")) == len(card_of("name").split("\n"))


def test_what_stands_there_is_what_was_written() -> None:
    body = html_of(parts_of(card_of("a|b <i> & *c*"))[1])
    assert "<h1>a|b &lt;i&gt; &amp; *c*</h1>" in body
    assert "<td>a|b &lt;i&gt; &amp; *c*</td>" in body


def test_what_there_is_not_is_not_told() -> None:
    _, body = parts_of(card_of("name"))
    assert "threshold" not in body.replace("weights and thresholds were chosen", "")
    schema = Schema("s", "video", (Stream("a", 3),), 2)
    member = MemberReceipt("m", "f", "uniform8", 1, 1.0, 0.5, 0.5)
    tags = TagsReceipt(0.9, 0.5, 0.01, 0.91, 0.3)
    receipt = Receipt(members=(member,) * 300, hashes={}, tags=(tags,), copies=3)
    card = model_card("r", schema, CLIPS | {"unlabeled": 7}, 5, receipt)
    assert card.count("by 5 folds") == 2
    assert "a precision of 0.9 of each label" in card
    assert "And 100 more" in card and "up to 3 models" in card
    assert "| unlabeled | 7 |" in card and "(B, D)" in card and "such as" not in card
    assert model_card("r", schema, CLIPS, 0, replace(receipt, tags=())).count("F1") == 0
