"""The model card, as two libraries read it that know nothing of ours; its names may be hostile."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from records import Schema, Stream
from stages.card import model_card
from stages.receipt import MemberReceipt, Receipt, TagsReceipt
from tests.line import Line, frames_line

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


def test_figures_of_a_run_stand_in_its_card(tmp_path_factory: pytest.TempPathFactory) -> None:
    line = frames_line(tmp_path_factory.getbasetemp())
    values, body = parts_of(line.bundle.with_name("README.md").read_text())
    receipt = yaml.safe_load(line.receipt.read_text())
    (result,) = values["model-index"][0]["results"]
    figures = {metric["type"]: metric["value"] for metric in result["metrics"]}
    (tags,) = receipt["tags"]
    names = ("gap", "map", "map_at_10")
    assert figures == {name: receipt[name] for name in names} | {"f1": tags["f1"]}
    assert values["metrics"] == list(figures)
    for told in (receipt["bytes"], receipt["budget_bytes"]):
        assert f"{told:,} bytes" in body or f"{told:,} that it might have" in body
    for member in receipt["members"]:
        assert f"| {member['name']} | {member['family']} |" in body
    for name in ("gap", "map", "map_at_10"):
        assert f"| {receipt[name]:.5f} | {receipt[f'{name}_error']:.5f} |" in body
    assert "| train | 160 |" in body and "| report | 60 |" in body
    assert "It states no licence" in body and receipt["sha256"] in body


def test_its_code_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    line = frames_line(tmp_path_factory.getbasetemp())
    assert_code_runs(line, line.bundle.with_name("README.md").read_text())


def assert_code_runs(line: Line, card: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("bundle.safetensors", str(line.bundle)), names)
    assert names["log_odds"].shape == (1, 30)
    assert len(names["best"]) == 5
    assert all(tag.probability > 0 for tag in names["tags"])


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


def test_it_is_written_with_the_bundle(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Damaged, it is made again with it."""
    line = frames_line(tmp_path_factory.getbasetemp()).copy(tmp_path)
    card = line.bundle.with_name("README.md")
    before = card.read_bytes(), line.bundle.read_bytes()
    card.write_text("another")
    outcome = line.call("stage=pack")
    assert outcome.status == 0 and "bundle: README.md is missing or damaged" in outcome.err
    assert (card.read_bytes(), line.bundle.read_bytes()) == before
