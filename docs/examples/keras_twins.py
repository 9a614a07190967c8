"""The four models of Chavez 2019 as Keras 3 models on its torch backend, each a family.

They take the hyperparameters of the torch families `perceptron` (with a decoder), `bilstm`,
`stream_lstm` and `stream_lstm_fc`, and with the same weights give the same log-odds.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

# Keras reads its backend once, when it is imported.
os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras import layers

from common.codec import Positive
from families import FamilyModule, register
from families.base import Features
from families.bilstm import BiLSTMConfig
from families.layers.classifier import ClassifierConfig, classifier_of
from families.stream_lstm import StreamLSTMConfig
from families.stream_lstm_fc import mean_log_odds
from records import Schema


class KerasModel(nn.Module):
    """A Keras model as a function, its weights the parameters of this module, by Keras' paths.

    Keras' own layers are torch modules too, but they compute with references to the weights that
    they were built with, whatever a state is loaded into them, and keep the seeds of dropouts
    among the weights.

    Args:
        make: builds the model; a layer with weights needs a name, or its path has a number that
            depends on what was built before.

    Attributes:
        size: of the model's output.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        with keras.device(str(torch.get_default_device())), _seeded_by_torch():
            model = make()
            for variable in model.trainable_variables:
                # A slash divides names in a bundle.
                self.register_parameter(variable.path.replace("/", "-"), variable.value)
            self._seeds = [variable.value for variable in model.non_trainable_variables]
        self.size = int(model.output_shape[-1])
        self._call = model.stateless_call

    def forward(self, *inputs: Tensor) -> Tensor:
        """The model's inputs to its output."""
        with keras.device(str(inputs[0].device)):
            output: Tensor = self._call(list(self.parameters()), self._seeds, list(inputs))[0]
        return output


@contextmanager
def _seeded_by_torch() -> Iterator[None]:
    """Keras draws the seeds of its initializers from Python's generator; here torch's decides."""
    state = random.getstate()
    random.seed(int(torch.randint(2**31, (), device="cpu")))
    try:
        yield
    finally:
        random.setstate(state)


def dense(x: Any, units: int, name: str) -> Any:
    """Linear, ReLU."""
    layer = layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=name)
    return layer(x)


def lstm(
    x: Any, mask: Any, units: int, name: str, *, bidirectional: bool, sequences: bool = False
) -> Any:
    """The last output, or all, of an LSTM that passes over padding."""
    if not bidirectional:
        return layers.LSTM(units, return_sequences=sequences, name=name)(x, mask=mask)
    layer = layers.LSTM(units, return_sequences=sequences, name="lstm")
    return layers.Bidirectional(layer, name=name)(x, mask=mask)


def joined(parts: Sequence[Any]) -> Any:
    """The parts side by side."""
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def perceptron(sizes: Sequence[int], config: KerasPerceptronConfig) -> Any:
    """Means to the last hidden layer."""
    means = [keras.Input((size,)) for size in sizes]
    parts = []
    for stream, x in enumerate(means):
        for depth, units in enumerate(config.decoder):
            x = dense(x, units, f"decoder-{stream}-{depth}")
        parts.append(x)
    x = joined(parts)
    for depth, units in enumerate(config.hidden):
        x = dense(x, units, f"hidden-{depth}")
    return keras.Model(means, x)


def bilstm(sizes: Sequence[int], config: BiLSTMConfig) -> Any:
    """Frames and mask to the dense layer."""
    frames, mask = [keras.Input((None, size)) for size in sizes], keras.Input((None,), dtype="bool")
    x = joined(frames)
    for depth in range(config.layers):
        inner = depth < config.layers - 1
        x = lstm(x, mask, config.hidden, f"lstm-{depth}", bidirectional=True, sequences=inner)
    return keras.Model([*frames, mask], dense(x, config.dense, "dense"))


def stream_lstm(sizes: Sequence[int], config: StreamLSTMConfig) -> Any:
    """Frames and mask to the joined branches."""
    frames, mask = [keras.Input((None, size)) for size in sizes], keras.Input((None,), dtype="bool")
    parts = []
    for stream, x in enumerate(frames):
        units = max(1, round(config.hidden * sizes[stream] / sizes[0]))
        x = dense(x, units, f"entrance-{stream}")
        x = lstm(x, mask, units, f"lstm-{stream}", bidirectional=config.bidirectional)
        parts.append(dense(x, units, f"exit-{stream}"))
    return keras.Model([*frames, mask], joined(parts))


@dataclass(frozen=True)
class KerasPerceptronConfig(ClassifierConfig):
    """Hyperparameters of the fully connected model.

    Attributes:
        decoder: units of the layers that widen each stream before they are joined.
        hidden: units of the hidden layers.
    """

    decoder: tuple[Positive, ...] = (1024,)
    hidden: tuple[Positive, ...] = (1024,)


@dataclass(frozen=True)
class KerasStreamLSTMFCConfig:
    """Hyperparameters of the two parts."""

    stream_lstm: StreamLSTMConfig = field(default_factory=StreamLSTMConfig)
    perceptron: KerasPerceptronConfig = field(default_factory=KerasPerceptronConfig)


class KerasFamily(FamilyModule):
    """A Keras model of the frames and their mask, and the head that all families have."""

    make: ClassVar[Callable[[Sequence[int], Any], Any]]

    def __init__(self, config: Any, schema: Schema) -> None:
        super().__init__(config, schema)
        sizes = [stream.size for stream in self.streams]
        self.body = KerasModel(lambda: type(self).make(sizes, config))
        self.classifier = classifier_of(config, self.body.size, schema.num_labels)

    def inputs(self, features: Features, mask: Tensor | None) -> list[Tensor]:
        """What the Keras model takes."""
        frames, mask = self.frames(features, mask)
        if mask is None:
            mask = torch.ones(frames[0].shape[:2], dtype=torch.bool, device=frames[0].device)
        return [*frames, mask]

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self.classifier(self.body(*self.inputs(features, mask)))


@register("keras_perceptron", KerasPerceptronConfig)
class KerasPerceptron(KerasFamily):
    """The fully connected model on the means."""

    make = perceptron

    def inputs(self, features: Features, mask: Tensor | None) -> list[Tensor]:
        """What the Keras model takes."""
        return self.means(features, mask)


@register("keras_bilstm", BiLSTMConfig, sampling="sequence")
class KerasBiLSTM(KerasFamily):
    """The bidirectional LSTM over the joined streams."""

    make = bilstm


@register("keras_stream_lstm", StreamLSTMConfig, sampling="sequence")
class KerasStreamLSTM(KerasFamily):
    """The branches of the streams."""

    make = stream_lstm


@register("keras_stream_lstm_fc", KerasStreamLSTMFCConfig, sampling="sequence")
class KerasStreamLSTMFC(FamilyModule):
    """Branches on the frames beside the fully connected model on the means, averaged."""

    def __init__(self, config: KerasStreamLSTMFCConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.stream_lstm = KerasStreamLSTM(config.stream_lstm, schema)
        self.perceptron = KerasPerceptron(config.perceptron, schema)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return mean_log_odds(self.stream_lstm(features, mask), self.perceptron(features, mask))
