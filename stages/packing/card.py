"""The model card of a bundle: Markdown with the front matter of Hugging Face, from its receipt.

Names come from configurations and from data, and may hold anything: in Markdown their punctuation
is escaped, and in YAML they are written by the library.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from common.problems import printable
from common.units import format_bytes
from quantize.bundle.inference import BATCH_CLIPS
from records import Schema
from stages.packing.receipt import MemberReceipt, Receipt

CARD_NAME = "README.md"  # as Hugging Face wants it
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_LABELS_NAMED = 5
_MOST_MEMBERS = 200


def model_card(
    name: str, schema: Schema, clips: Mapping[str, int], folds: int, receipt: Receipt
) -> str:
    """The text of the card.

    Args:
        name: what the run is called.
        schema: what a record holds.
        clips: how many there are of each split that the bundle was made of, and of `report`.
        folds: in which those that it was trained and chosen on were cut, if they were.
        receipt: with its figures.
    """
    sections = (
        f"---\n{_front_matter(name, schema, receipt)}---\n\n# {text(name)}",
        _subject(schema, receipt),
        f"## Data\n\n{_data(schema, clips, folds)}",
        f"## Scores\n\n{_scores(receipt)}",
        f"## Members\n\n{_members(receipt.members)}",
        f"## Limits\n\n{_limits(schema, clips, receipt)}",
        f"## Use\n\n{_use(schema, receipt)}",
    )
    return "\n\n".join(sections) + "\n"


def text(value: str) -> str:
    """A name as it stands in Markdown: one line, in which no character means anything."""
    return _PUNCTUATION.sub(r"\\\1", printable(value))


def _front_matter(name: str, schema: Schema, receipt: Receipt) -> str:
    figures = [("gap", "GAP@20", receipt.gap), ("map_at_10", "MAP@10", receipt.map_at_10)]
    figures += [("map", "MAP", receipt.map), *(("f1", "F1", tags.f1) for tags in receipt.tags)]
    result = {
        "task": {"type": "multi-label-classification", "name": "Multi-label tagging"},
        "dataset": {
            "type": printable(schema.name),
            "name": printable(schema.name),
            "split": "report",
        },
        "metrics": [{"type": kind, "name": said, "value": found} for kind, said, found in figures],
    }
    values = {
        "library_name": "onegig",
        "tags": ["multi-label-classification", "ensemble", "distillation", "quantization"],
        "metrics": [kind for kind, *_ in figures],
        "model-index": [{"name": printable(name), "results": [result]}],
    }
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1_000))


def _subject(schema: Schema, receipt: Receipt) -> str:
    unit = "a frame" if schema.level == "frame" else "a clip"
    streams = _listed(
        f"{text(stream.name)} ({stream.size} values {unit})" for stream in schema.streams
    )
    members = f"{len(receipt.members)} member{'s'[: len(receipt.members) != 1]}"
    return (
        f"An ensemble of {members} in one file of {receipt.bytes:,} bytes, of "
        f"{receipt.budget_bytes:,} that it might have. It gives a clip's features, {streams}, a "
        f"probability for each of {schema.num_labels:,} labels{_some_labels(schema)}.\n\n"
        f"sha256: `{receipt.sha256}`"
    )


def _some_labels(schema: Schema) -> str:
    names = [text(name) for name in schema.label_names[:_LABELS_NAMED]]
    return f", such as {_listed(names)}" if names else ""


def _data(schema: Schema, clips: Mapping[str, int], folds: int) -> str:
    chosen = "members, precisions, weights and thresholds were chosen on these"
    used = {
        "train": "its members learned from these",
        "search": chosen,
        "unlabeled": "its members learned from these without labels",
        "report": "the scores below are of these; nothing was chosen on them",
    }
    if folds:
        both = f"its members learned from these; by {folds} folds, {chosen} by models without them"
        used |= {"train": both, "search": both}
    rows = [[name, f"{count:,}", used[name]] for name, count in clips.items()]
    return f"Data set: {text(schema.name)}.\n\n" + _table(["split", "clips", "use"], rows)


def _scores(receipt: Receipt) -> str:
    rows = [
        ["GAP@20", f"{receipt.gap:.5f}", f"{receipt.gap_error:.5f}"],
        ["MAP@10", f"{receipt.map_at_10:.5f}", f"{receipt.map_at_10_error:.5f}"],
        ["MAP", f"{receipt.map:.5f}", f"{receipt.map_error:.5f}"],
        *(["F1 of tags", f"{tags.f1:.5f}", f"{tags.f1_error:.5f}"] for tags in receipt.tags),
    ]
    parts = [
        "On `report`, of the file as read back. Errors are standard errors, by the bootstrap over "
        "clips.",
        _table(["score", "value", "error"], rows),
        f"On `search`, where it was chosen, GAP@20 is {receipt.search_gap:.5f}. The same members "
        f"in float32 have {receipt.gap_float:.5f} on `report`.",
    ]
    for tags in receipt.tags:
        goal = (
            f"a precision of {tags.wanted_precision:g}" if tags.wanted_precision else "the best F1"
        )
        parts.append(
            f"Tags are the labels that reach their thresholds, which were chosen on `search` for "
            f"{goal} of each label. Over all tags of all clips of `report` their precision is "
            f"{tags.precision:.5f} and their recall {tags.recall:.5f}."
        )
    return "\n\n".join(parts)


def _members(members: Sequence[MemberReceipt]) -> str:
    rows = [
        [text(m.name), text(m.family), text(m.precision), format_bytes(m.bytes), f"{m.weight:.4f}"]
        for m in members[:_MOST_MEMBERS]
    ]
    more = len(members) - len(rows)
    rest = f"\n\nAnd {more} more; the receipt has all of them." if more else ""
    return _table(["member", "family", "precision", "bytes", "weight"], rows) + rest


def _limits(schema: Schema, clips: Mapping[str, int], receipt: Receipt) -> str:
    limits = [
        f"It was tested on {clips['report']:,} clips of one data set and on nothing else: neither "
        "on clips from elsewhere, nor on features that another program or another version of it "
        "extracted, nor for harm that wrong tags may do.",
        "It knows no other labels than these, and their probabilities are not calibrated.",
        "A score on clips that it was trained or chosen on is no result: "
        "`python orchestrate.py stage=evaluate` counts them.",
        f"The file takes {format_bytes(receipt.bytes)}. Decoded, a weight takes 32 bits; "
        "`resident=` bounds how many are decoded at once.",
    ]
    if receipt.tags:
        limits.append("Labels that few clips of `search` have share one threshold.")
    if receipt.copies > 1:
        limits.append(
            f"It holds up to {receipt.copies} models of each student, and one of each was scored "
            "on `search`."
        )
    limits.append(
        "It states no licence: what may be done with it is for its owner to say, with `license:` "
        "in the head of this file, and depends on the data that it learned from."
    )
    return "\n".join(f"- {limit}" for limit in limits)


def _use(schema: Schema, receipt: Receipt) -> str:
    shapes = {
        s.name: (300, s.size) if schema.level == "frame" else (s.size,) for s in schema.streams
    }
    types = {stream.name: stream.encoding for stream in schema.streams}
    arrays = [
        f"    {name!a}: numpy.zeros({shape}, numpy.{types[name]}),"
        for name, shape in shapes.items()
    ]
    lines = [
        "import numpy",
        "from quantize import Bundle",
        "",
        'bundle = Bundle.load("bundle.safetensors")',
        "clip = {",
        *arrays,
        "}",
        f"log_odds = bundle.predict(clip)  # (1, {schema.num_labels})",
        "best = bundle.top(clip, k=5)[0]  # label, name and probability, best first",
        *(
            ["tags = bundle.tags(clip)[0]  # those that reach their thresholds"]
            if receipt.tags
            else []
        ),
    ]
    many = "a list of arrays, of any lengths" if schema.level == "frame" else "(B, D)"
    code = "\n".join(lines)
    return (
        f"From a checkout of Onegig:\n\n```python\n{code}\n```\n\nMany clips are {many}; they are "
        f"scored {BATCH_CLIPS} at a time. Bytes are as they are stored, floats dequantized."
    )


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
