"""onnxruntime scores a bundle's ONNX file as `Bundle.predict` scores the bundle."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import families
from common.codec import from_plain
from families.perceptron import Perceptron
from quantize import Bundle, BundleError, BundleMember, quantize_state, read_bundle, write_bundle
from quantize.onnx import graph as onnx_graph
from records import Batch, Schema, Stream
from tests.families.flavors import FLAVORS
from tests.line import call

# The narrower stream first, so that nothing relies on their order.
FRAMES = Schema(
    "small",
    "frame",
    (Stream("sound", 6), Stream("image", 10)),
    num_labels=7,
    label_names=("zero", "one", "zwei", "drei", "naïve", "“six”", "日本"),
    label_verticals=((0,), (1,), (), (1, 0), (0,), (1,), ()),
    vertical_names=("A", "B"),
)
MEANS = replace(FRAMES, level="video")
# The families of Skalic & Austin 2018, and the one whose recurrence is a loop of its own.
VARIANTS = ("dbof", "netfv", "netvlad", "perceptron", "qrnn", "rnn")
# Clips' lengths: padded, of a single frame, a batch of one, a clip without frames.
LENGTHS = ([9, 4, 1], [1, 1], [30, 11, 0, 2, 30], [7])
SCRIPT = """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
outputs = session.run(None, dict(np.load("inputs.npz")))
np.savez("outputs.npz", *outputs)
assert not {"torch", "families", "quantize", "onnx"} & sys.modules.keys()
"""

# The classifier of several families: exported with some of them, and small with the others.
LOGISTIC = {"kind": "logistic"}

Members = Sequence[tuple[str, Mapping[str, Any]]]


def random_member(
    name: str, family: str, config: Mapping[str, Any], schema: Schema, weight: float, **how: Any
) -> BundleMember:
    """Weights and batch norm statistics at random, all but the smallest tensors quantized."""
    torch.manual_seed(len(name))
    state = families.build(family, config, schema).state_dict()
    for key, tensor in state.items():
        if key.endswith(("running_mean", "bias", "embeddings")):
            tensor.normal_(std=0.3)
        if not tensor.is_floating_point():
            tensor.random_(schema.num_labels)
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return BundleMember(name, family, config, weight, quantize_state(state, 40, **how))


def write(path: Path, schema: Schema, members: Members, mix: str = "log_odds") -> Bundle:
    """A bundle of these families and configurations, all with the same weight."""
    made = [
        random_member(f"{family}-{number}.x", family, config, schema, 1 / len(members))
        for number, (family, config) in enumerate(members)
    ]
    thresholds = torch.arange(schema.num_labels).float()
    thresholds[2] = torch.inf
    write_bundle(path, schema, made, {"gap": 0.5}, mix, thresholds=thresholds)
    return Bundle.load(path)


def export(bundle: Path) -> Path:
    """What the command line makes of it."""
    outcome = call("stage=export", f"bundle={bundle}", f"outputs={bundle.parent}")
    assert outcome.status == 0, outcome.err
    return Path(outcome.out.strip())


def batch_of(schema: Schema, lengths: Sequence[int]) -> Batch:
    generator = torch.Generator().manual_seed(sum(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    features: dict[str, Tensor] = {}
    for stream in schema.streams:
        x = torch.randn(*mask.shape, stream.size, generator=generator) * mask[..., None]
        features[stream.name] = x if schema.level == "frame" else x[:, 0]
    labels = torch.zeros(0, 2, dtype=torch.int64)
    ids = [str(number) for number in range(len(lengths))]
    real = mask if schema.level == "frame" else None
    return Batch(ids, features, real, labels, schema.num_labels, -2.0, 2.0)


def feeds(batch: Batch) -> dict[str, np.ndarray]:
    tensors = dict(batch.features)
    if batch.mask is not None:
        tensors["mask"] = batch.mask
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def assert_same_scores(file: Path, bundle: Bundle, tolerance: float = 1e-5) -> None:
    session = onnxruntime.InferenceSession(file)
    for lengths in LENGTHS:
        batch = batch_of(bundle.schema, lengths)
        log_odds, probabilities = session.run(None, feeds(batch))
        wanted = bundle.predict(batch)
        assert log_odds.dtype == probabilities.dtype == np.float32
        np.testing.assert_allclose(log_odds, wanted, rtol=0, atol=tolerance)
        np.testing.assert_allclose(probabilities, wanted.sigmoid(), rtol=1e-4, atol=0)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that mixes probabilities, and its ONNX file beside it; not to be changed."""
    path = tmp_path_factory.mktemp("mixed") / "bundle.safetensors"
    netvlad = {"clusters": 16, "hidden": 64, "head": LOGISTIC}
    rnn = {"variant": "stacked", "layers": 1, "hidden": 128}
    write(path, FRAMES, [("netvlad", netvlad), ("rnn", rnn)], "probability")
    export(path).rename(path.with_name("bundle.onnx"))
    return path


@pytest.mark.parametrize("family", VARIANTS)
def test_every_variant_at_every_length(tmp_path: Path, family: str) -> None:
    bundle = write(tmp_path / "b", FRAMES, [(family, config) for config in FLAVORS[family]])
    assert_same_scores(export(tmp_path / "b"), bundle)


def test_every_other_family(tmp_path: Path) -> None:
    members = {name: FLAVORS[name][0] for name in sorted(set(FLAVORS) - set(VARIANTS))}
    # Random memories have near ties, which another order of sums decides otherwise.
    del members["neighbors"]
    for name in ("attention", "dmrnet"):
        members[name] = members[name] | {"head": LOGISTIC}
    bundle = write(tmp_path / "b", FRAMES, list(members.items()))
    assert_same_scores(export(tmp_path / "b"), bundle)


def test_video_level(tmp_path: Path) -> None:
    members = [(name, FLAVORS[name][0] | {"head": LOGISTIC}) for name in VARIANTS]
    bundle = write(tmp_path / "b", MEANS, members, "probability")
    file = export(tmp_path / "b")
    assert_same_scores(file, bundle)
    inputs = onnxruntime.InferenceSession(file).get_inputs()
    assert [(x.name, x.shape) for x in inputs] == [
        ("sound", ["batch", 6]),
        ("image", ["batch", 10]),
    ]


def test_probabilities_are_mixed(mixed: Path) -> None:
    assert_same_scores(mixed.with_name("bundle.onnx"), Bundle.load(mixed))


def test_inputs_outputs_and_metadata(mixed: Path) -> None:
    session = onnxruntime.InferenceSession(mixed.with_name("bundle.onnx"))
    shapes = {x.name: (x.shape, x.type) for x in session.get_inputs()}
    assert shapes == {
        "sound": (["batch", "frames", 6], "tensor(float)"),
        "image": (["batch", "frames", 10], "tensor(float)"),
        "mask": (["batch", "frames"], "tensor(bool)"),
    }
    outputs = [(x.name, x.shape) for x in session.get_outputs()]
    assert outputs == [("log_odds", ["batch", 7]), ("probabilities", ["batch", 7])]
    metadata = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(metadata["labels"])) == FRAMES.label_names
    assert from_plain(Schema, json.loads(metadata["schema"]), "schema") == FRAMES
    assert json.loads(metadata["receipt"]) == {"gap": 0.5}
    assert json.loads(metadata["thresholds"]) == [0.0, 1.0, None, 3.0, 4.0, 5.0, 6.0]
    assert [member["family"] for member in json.loads(metadata["members"])] == ["netvlad", "rnn"]


def test_the_file_holds_codes_and_little_else(mixed: Path) -> None:
    file = mixed.with_name("bundle.onnx")
    stored = {x.name: x for x in onnx.load(file).graph.initializer}
    state = Bundle.load(mixed).members[0].module.state_dict()
    codes = stored["netvlad-0.x/hidden.weight/codes"]
    assert codes.data_type == onnx.TensorProto.UINT8
    assert tuple(codes.dims) == state["hidden.weight"].shape
    # Nodes and their names: some tens of kB a member.
    assert file.stat().st_size < mixed.stat().st_size + 2 * 50_000
    assert not any(word in file.read_bytes() for word in (b"site-packages", b"quantize/"))


def test_onnxruntime_decodes_once(mixed: Path, tmp_path: Path) -> None:
    """What it makes of the file before it runs it has no codes any more."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(mixed.with_name("bundle.onnx"), options)
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    assert not any(x.data_type == onnx.TensorProto.UINT8 for x in graph.initializer)


def test_weights_that_protobuf_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "b", MEANS, [("logistic", {"input_norm": "none"})])
    monkeypatch.setattr(onnx_graph, "_LARGEST_WEIGHTS", 100)
    with pytest.raises(BundleError, match=r"2 GiB"):
        onnx_graph.onnx_bytes(read_bundle(tmp_path / "b"))


def test_it_is_checked_by_onnx_and_made_alike_twice(mixed: Path, tmp_path: Path) -> None:
    file = mixed.with_name("bundle.onnx")
    onnx.checker.check_model(onnx.load(file), full_check=True)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(mixed.read_bytes())
    again = export(copy)
    assert again.read_bytes() == file.read_bytes()


def test_a_process_without_this_project(mixed: Path, tmp_path: Path) -> None:
    batch = batch_of(FRAMES, [5, 3])
    inputs: dict[str, Any] = dict(feeds(batch))
    np.savez(tmp_path / "inputs.npz", **inputs)
    file = mixed.with_name("bundle.onnx")
    command = [sys.executable, "-I", "-c", SCRIPT, str(file)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    log_odds = np.load(tmp_path / "outputs.npz")["arr_0"]
    wanted = Bundle.load(mixed).predict(batch)
    np.testing.assert_allclose(log_odds, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mix", ["probability", "log_odds"])
def test_saturated_probabilities_stay_apart(tmp_path: Path, mix: str) -> None:
    """Log-odds up to 100, where float32 probabilities are 0 or 1."""
    head = {"kind": "mixture", "experts": 2, "probability_gating": True}
    configs: list[dict[str, Any]] = [{"hidden": []}, {"hidden": [], "head": head}]
    members = []
    for number, config in enumerate(configs):
        state = families.build("perceptron", config, MEANS).state_dict()
        for name, tensor in state.items():
            if name.endswith(("linear.bias", "experts.bias", "gating.norm.bias")):
                tensor.copy_(torch.linspace(-100, 100, len(tensor)) * (1 - 0.4 * number))
        quantized = quantize_state(state, 40)
        members.append(BundleMember(f"m{number}", "perceptron", config, 0.5, quantized))
    write_bundle(tmp_path / "b", MEANS, members, {}, mix)
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.predict(batch_of(MEANS, [1])).abs().max() > 60
    session = onnxruntime.InferenceSession(export(tmp_path / "b"))
    batch = batch_of(MEANS, [1, 1, 1])
    log_odds, _ = session.run(None, feeds(batch))
    np.testing.assert_allclose(log_odds, bundle.predict(batch), rtol=0, atol=1e-4)


def test_members_at_several_precisions(tmp_path: Path) -> None:
    config = {"hidden": [13, 12, 11], "head": LOGISTIC}
    large = [f"hidden.{layer}.layers.0.weight" for layer in range(3)]
    members = [
        random_member(
            first,
            "perceptron",
            config,
            MEANS,
            1 / 2,
            precision=first,
            overrides=dict(zip(large, others, strict=True)),
        )
        for first, *others in (
            ("uniform8", "channel8", "kmeans6", "channel5"),
            ("quantile4", "float16", "float32", "uniform5"),
        )
    ]
    for member in members:
        assert set(large) <= member.state.codes.keys() | member.state.plain.keys()
    size = write_bundle(tmp_path / "b", MEANS, members, {}, "log_odds")
    file = export(tmp_path / "b")
    assert_same_scores(file, Bundle.load(tmp_path / "b"))
    assert file.stat().st_size < size + len(members) * 40_000


def test_a_member_without_weight_is_left_out(tmp_path: Path) -> None:
    members = [
        random_member(name, "perceptron", {"hidden": [8]}, MEANS, weight)
        for name, weight in (("in", 1.0), ("out", 0.0))
    ]
    write_bundle(tmp_path / "b", MEANS, members, {})
    file = export(tmp_path / "b")
    assert_same_scores(file, Bundle.load(tmp_path / "b"))
    assert not any(x.name.startswith("out/") for x in onnx.load(file).graph.initializer)


def test_a_family_that_looks_into_its_numbers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Perceptron, features: Mapping[str, Tensor], mask: Tensor | None) -> Tensor:
        if features["image"].sum().item() > 0:
            raise ValueError
        return features["image"][:, 0, :7]

    write(tmp_path / "b", FRAMES, [("perceptron", {}), ("logistic", {})])
    monkeypatch.setattr(Perceptron, "forward", forward)
    message = call("stage=export", f"bundle={tmp_path}/b", f"outputs={tmp_path}").refusal()
    assert "family perceptron " in message and "logistic" not in message
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_stream_that_is_called_as_the_mask(tmp_path: Path) -> None:
    schema = replace(FRAMES, streams=(Stream("mask", 6),))
    write(tmp_path / "b", schema, [("perceptron", {"hidden": []})])
    message = call("stage=export", f"bundle={tmp_path}/b", f"outputs={tmp_path}").refusal()
    assert "stream mask" in message


def test_output_says_where(tmp_path: Path) -> None:
    write(tmp_path / "b", MEANS, [("perceptron", {"hidden": []})])
    file = tmp_path / "deep" / "model.onnx"
    outcome = call("stage=export", f"bundle={tmp_path}/b", f"outputs={tmp_path}", f"output={file}")
    assert outcome.out == f"{file}\n" and outcome.err == ""
    assert [x.name for x in file.parent.iterdir()] == ["model.onnx"]


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = call("stage=export", f"outputs={tmp_path}").refusal()
    assert "pip install -e '.[onnx]'" in message


def test_no_bundle(tmp_path: Path) -> None:
    assert "stage=pack" in call("stage=export", f"outputs={tmp_path}").refusal()


def test_other_stages_need_no_onnx() -> None:
    script = "import orchestrate, sys; assert not [m for m in sys.modules if m.startswith('onnx')]"
    folder = Path(families.__file__).parents[1]
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, timeout=300)
