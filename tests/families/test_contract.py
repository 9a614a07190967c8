"""What every family owes: one test class over every entry of the registry and its flavors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

import families
from families import FamilyError, FamilyModule, Head
from families.layers.memory import RememberingModule
from families.size import model_bytes
from records import Batch
from records.schema import Schema
from tests.families.flavors import FLAVORS
from training.objective import cross_entropy, loss_of

CASES = [
    pytest.param(name, flavor, id=f"{name}-{index}")
    for name, flavors in FLAVORS.items()
    for index, flavor in enumerate(flavors)
]


def make(name: str, flavor: dict[str, Any], schema: Schema) -> FamilyModule:
    """The model with the batch norms' statistics away from where they start, or clips in memory."""
    torch.manual_seed(0)
    model = families.build(name, flavor, schema)
    with torch.no_grad():
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.add_(0.3 * torch.rand_like(buffer))
    if isinstance(model, RememberingModule):
        clips = model.capacity - 1
        means = {stream.name: torch.randn(clips, stream.size) for stream in schema.streams}
        model.remember([(means, None, torch.eye(schema.num_labels).repeat(clips, 1)[:clips])])
    return model


def needs_gradients(model: FamilyModule) -> None:
    """Skips the test for a family that learns by remembering."""
    if isinstance(model, RememberingModule):
        assert not list(model.parameters())
        pytest.skip("has no gradients")


def backward(loss: Tensor) -> None:
    """Of what has gradients."""
    if loss.requires_grad:
        loss.backward()


def without_dropout(model: FamilyModule) -> FamilyModule:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def extended(features: dict[str, Tensor], mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Four more frames of padding, and noise wherever there is padding."""
    mask = torch.cat([mask, mask.new_zeros(len(mask), 4)], dim=1)
    wider = {}
    for name, x in features.items():
        wider[name] = torch.full((*mask.shape, x.shape[2]), 0.0).normal_(std=9.0)
        wider[name][:, : x.shape[1]][mask[:, : x.shape[1]]] = x[mask[:, : x.shape[1]]]
    return wider, mask


class Contract:
    """Shapes, gradients, padding, determinism, files, bytes."""

    def test_log_odds_are_finite_float32_of_all_labels(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = make(name, flavor, schema)
        for training in (True, False):
            for given in (mask, None):
                log_odds = model.train(training)(features, given)
                assert log_odds.shape == (5, 7)
                assert log_odds.dtype == torch.float32
                assert log_odds.isfinite().all()

    @pytest.mark.parametrize("masked", [True, False])
    def test_gradients_reach_every_parameter(
        self,
        name: str,
        flavor: dict[str, Any],
        schema: Schema,
        features: Any,
        mask: Tensor,
        masked: bool,
    ) -> None:
        model = without_dropout(make(name, flavor, schema)).train()
        needs_gradients(model)
        rows, columns = torch.rand(5, 7).round().nonzero(as_tuple=True)
        labels = torch.stack([rows, columns], dim=1)
        batch = Batch(list("abcde"), features, mask if masked else None, labels, 7, -2.0, 2.0)
        ones = torch.ones(len(rows))
        loss, _ = loss_of(model, batch, lambda z: cross_entropy(z, rows, columns, ones))
        loss.backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.any(), key

    def test_penalty_moves_gradients(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any
    ) -> None:
        model = without_dropout(make(name, flavor, schema)).train()
        needs_gradients(model)
        model(features, None).sum().backward()
        before = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
        heads = {k: head for k, head in model.named_modules() if isinstance(head, Head)}
        for head in heads.values():
            head.l2 = 0.5
        model.add_penalty_gradient()
        after = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        moved = [key for key, gradient in before.items() if not torch.equal(gradient, after[key])]
        of_head = {k: [m for m in moved if m.startswith(f"{k}.classifier.")] for k in heads}
        assert heads and all(of_head.values())
        assert sum(map(len, of_head.values())) == len(moved)

    def test_output_does_not_depend_on_the_padding(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = make(name, flavor, schema).eval()
        torch.testing.assert_close(
            model(*extended(features, mask)), model(features, mask), atol=1e-5, rtol=1e-5
        )

    def test_training_does_not_depend_on_the_padding(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        narrow, wide = (without_dropout(make(name, flavor, schema)).train() for _ in range(2))
        outputs = []
        for model, inputs in ((wide, extended(features, mask)), (narrow, (features, mask))):
            torch.manual_seed(1)  # of a model's own noise, which no input decides
            outputs.append(model(*inputs))
        torch.testing.assert_close(*outputs, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(
            dict(wide.named_buffers()), dict(narrow.named_buffers()), atol=1e-5, rtol=1e-4
        )

    def test_output_does_not_depend_on_the_rest_of_the_batch(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = make(name, flavor, schema).eval()
        together = model(features, mask)
        for row, length in enumerate(mask.sum(dim=1).tolist()):
            alone = {key: x[row : row + 1, :length] for key, x in features.items()}
            torch.testing.assert_close(
                model(alone)[0], together[row], atol=1e-5, rtol=1e-5, msg=f"clip {row}"
            )

    def test_a_mask_of_ones_is_no_mask(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = make(name, flavor, schema).eval()
        everything = torch.ones_like(mask)
        assert torch.equal(model(features, everything), model(features, None))

    def test_a_batch_of_nothing_but_padding(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = make(name, flavor, schema)
        log_odds = model.train()(features, torch.zeros_like(mask))
        backward(log_odds.sum())
        assert log_odds.isfinite().all()
        for key, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), key
        for key, buffer in model.named_buffers():
            assert buffer.isfinite().all(), key

    def test_a_batch_of_one_clip_trains(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any
    ) -> None:
        model = make(name, flavor, schema).train()
        for length in (8, 1):
            log_odds = model({key: x[:1, :length] for key, x in features.items()})
            backward(log_odds.sum())
            assert log_odds.isfinite().all()

    def test_it_fits_a_handful_of_clips(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = without_dropout(make(name, flavor, schema)).train()
        needs_gradients(model)
        targets = torch.rand(5, 7).round()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.04)
        losses = []
        for _ in range(30):
            loss = functional.binary_cross_entropy_with_logits(model(features, mask), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]

    def test_same_seed_same_numbers(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        outputs = []
        for _ in range(2):
            model = make(name, flavor, schema).train()
            backward(model(features, mask).sum())
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            outputs.append([model.eval()(features, mask), *gradients])
        for first, second in zip(*outputs, strict=True):
            assert torch.equal(first, second)

    def test_saved_and_loaded_it_scores_the_same(
        self,
        name: str,
        flavor: dict[str, Any],
        schema: Schema,
        features: Any,
        mask: Tensor,
        tmp_path: Path,
    ) -> None:
        model = make(name, flavor, schema)
        model.train()(features, mask)
        path = tmp_path / "model.safetensors"
        safetensors.torch.save_file(model.state_dict(), path)
        config = json.loads(json.dumps(families.config_to_dict(model.config)))
        loaded = families.build(name, config, schema)
        loaded.load_state_dict(safetensors.torch.load_file(path))
        assert torch.equal(loaded.eval()(features, mask), model.eval()(features, mask))

    def test_config_to_json_and_back(
        self, name: str, flavor: dict[str, Any], schema: Schema
    ) -> None:
        config = families.config_from_dict(name, flavor)
        text = json.dumps(families.config_to_dict(config))
        assert families.config_from_dict(name, json.loads(text)) == config

    def test_predicted_bytes_are_the_bytes(
        self, name: str, flavor: dict[str, Any], schema: Schema
    ) -> None:
        threshold = 50
        tensors: dict[str, Tensor] = {}
        for key, tensor in make(name, flavor, schema).state_dict().items():
            if tensor.is_floating_point() and tensor.numel() > threshold and tensor.dim() > 1:
                tensors[key] = torch.zeros(tensor.shape, dtype=torch.uint8)
                tensors[f"{key}.codebook"] = torch.zeros(256)
            else:
                tensors[key] = tensor
        written = safetensors.torch.save(tensors)
        payload = len(written) - 8 - int.from_bytes(written[:8], "little")
        with torch.device("meta"):
            model = families.build(name, flavor, schema)
        assert model_bytes(model, threshold) == payload

    def test_every_tensor_is_float32_or_of_integers(
        self, name: str, flavor: dict[str, Any], schema: Schema
    ) -> None:
        model = make(name, flavor, schema)
        others = {t.dtype for t in model.state_dict().values()} - {torch.float32}
        assert others <= {torch.uint8, torch.int16, torch.int32}
        assert not others or isinstance(model, RememberingModule)

    def test_half_precision_stays_finite(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        model = make(name, flavor, schema).train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            log_odds = model(features, mask)
        backward(log_odds.sum())
        assert log_odds.dtype == torch.float32
        assert log_odds.isfinite().all()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model.eval()(features, mask).isfinite().all()

    def test_a_missing_or_odd_stream_is_named(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any
    ) -> None:
        model = make(name, flavor, schema)
        with pytest.raises(FamilyError, match="'image' is missing"):
            model({"sound": features["sound"]})
        with pytest.raises(FamilyError, match="'sound' has shape"):
            model({**features, "sound": features["image"]})

    def test_a_mean_is_a_clip_of_one_frame(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any
    ) -> None:
        model = make(name, flavor, replace(schema, level="video")).eval()
        means = {key: x.mean(dim=1) for key, x in features.items()}
        frames = {key: x[:, None] for key, x in means.items()}
        assert torch.equal(model(means), model(frames))

    def test_one_stream_is_enough(
        self, name: str, flavor: dict[str, Any], schema: Schema, features: Any, mask: Tensor
    ) -> None:
        single = replace(schema, streams=schema.streams[:1])
        assert make(name, flavor, single).eval()(features, mask).shape == (5, 7)


@pytest.mark.parametrize(("name", "flavor"), CASES)
class TestContract(Contract):
    """The contract of every family of the package."""


def test_every_family_has_flavors_to_be_tested_with() -> None:
    assert sorted(FLAVORS) == families.list_families() and all(FLAVORS.values())


@pytest.mark.parametrize("name", families.list_families())
def test_gradients_reach_every_parameter_at_full_size(
    name: str, schema: Schema, features: Any, mask: Tensor
) -> None:
    Contract().test_gradients_reach_every_parameter(name, {}, schema, features, mask, masked=True)
