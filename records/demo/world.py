"""What the clips of the demonstration data show: labels, and the frames that they come from.

A small world that asks different things of different models. Labels are long-tailed and come
together by vertical. A label shows in a part of the frames, in one stream or in both, and in one
of four ways: as plain content with several looks; as two contents whose order tells two labels
apart; as a content that flickers about zero, so that its mean says nothing; as a peak of a few
frames. Shots, distractors that look like labels, and noise lie behind all of it. Labels of the
training split are partly missing and now and then wrong, as a machine's annotations are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from common.codec import Positive, Share
from records.clip import Clip
from records.demo.labels import EVENTS, LOOKS, VERTICALS, Integers, Kind, LabelSpace, Vector, during
from records.errors import DataError

SPLITS = ("train", "search", "report", "test")

_DISTRACTORS = 300
_BACKGROUNDS = 2048
_NOISE_ROWS = 4096
_FRAMES_A_SHOT = 15
# Frames: factors that vary, by stream, and how fast their weight falls.
_RGB_FACTORS = 96
_AUDIO_FACTORS = 32
_FACTOR_KNEE = 16.0
_FACTOR_POWER = 0.5
# Amplitudes, as shares of a frame's standard deviation, which starts at _SPREAD.
_SPREAD = 0.5
_VERTICAL_SHARE = 0.6
_LABEL_SHARE = 0.8
_LOOK_SHARE = 0.6
_EVENT_VARIATION = 0.3
_BACKGROUND = 0.6
_CLIP_BACKGROUND = 0.42
_NOISE = 0.7
_BLUR = 0.2  # of every dimension by itself, as a share of the noise
_EVENTS_OF_DISTRACTORS = 1.0
# Quantization of YouTube-8M: x = byte * 4 / 255 + 4 / 512 - 2.
_BYTES_PER_UNIT = 255.0 / 4.0
_ZERO_BYTE = (2.0 - 4.0 / 512.0) * _BYTES_PER_UNIT


@dataclass(frozen=True)
class DemoSpec:
    """Size and difficulty of the demonstration data.

    Attributes:
        train_clips: clips of the training split.
        search_clips: of the split on which things are chosen.
        report_clips: of the split on which scores are reported.
        test_clips: of the split without labels.
        labels: V.
        min_frames: fewest frames a clip.
        max_frames: most frames a clip; short clips are the more frequent.
        rgb: size of the first stream.
        audio: size of the second stream.
        clips_per_shard: clips in each file but a split's last.
        missing_labels: share of the true labels that the training split lacks (a clip keeps one).
        false_labels: false labels that it has, a true label.
        seed: of everything.
    """

    train_clips: Positive = 3000
    search_clips: Positive = 1000
    report_clips: Positive = 1000
    test_clips: Positive = 1000
    labels: Positive = 400
    min_frames: Positive = 20
    max_frames: Positive = 120
    rgb: Positive = 1024
    audio: Positive = 128
    clips_per_shard: Positive = 250
    missing_labels: Share = 0.25
    false_labels: Share = 0.03
    seed: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        if self.max_frames < self.min_frames:
            raise DataError(
                f"max_frames {self.max_frames} is less than min_frames {self.min_frames}"
            )


class DemoWorld:
    """The world that a spec describes; every clip is a function of the spec, split and number."""

    def __init__(self, spec: DemoSpec) -> None:
        self.spec = spec
        rng = np.random.default_rng([spec.seed, len(SPLITS)])
        self.labels = LabelSpace.draw(spec.labels, rng)
        self._factors = (min(_RGB_FACTORS, spec.rgb), min(_AUDIO_FACTORS, spec.audio))
        loadings = self._draw_loadings(rng)
        self._contents = self._draw_contents(rng) @ loadings
        self._backgrounds = (
            rng.standard_normal((_BACKGROUNDS, len(loadings)), np.float32) @ loadings
        )
        noise = rng.standard_normal((_NOISE_ROWS, len(loadings)), np.float32) @ loadings
        blur = rng.standard_normal((_NOISE_ROWS, loadings.shape[1]), np.float32)
        noise += blur * np.linalg.norm(loadings, axis=0) * np.float32(_BLUR)
        # A frame's noise is the sum of two rows.
        self._noise = noise * np.float32(_NOISE / np.sqrt(2))

    def _draw_loadings(self, rng: np.random.Generator) -> Vector:
        """From the factors that vary to the dimensions of a frame, stream by stream.

        Frames lie near a subspace of few dimensions, as embeddings do: what can be learned from
        some thousand clips is then more than what can be remembered of them.
        """
        spec = self.spec
        loadings = np.zeros((sum(self._factors), spec.rgb + spec.audio), np.float32)
        row = column = 0
        for factors, size in zip(self._factors, (spec.rgb, spec.audio), strict=True):
            block = rng.standard_normal((factors, size), np.float32)
            block *= _falling(factors, _FACTOR_KNEE, _FACTOR_POWER)[:, None]
            block *= _falling(size, size / 32, 0.35) / np.linalg.norm(block, axis=0)
            loadings[row : row + factors, column : column + size] = block * np.float32(_SPREAD)
            row, column = row + factors, column + size
        return loadings

    def _draw_contents(self, rng: np.random.Generator) -> Vector:
        """Factors of what labels and distractors look like; 2 * LOOKS rows a label."""
        spec, space = self.spec, self.labels
        split, size = self._factors[0], sum(self._factors)

        def draw(*shape: int) -> Vector:
            return rng.standard_normal((*shape, size), np.float32)

        centers = draw(len(VERTICALS)) * np.float32(_VERTICAL_SHARE)
        own = np.repeat(draw(spec.labels, 1), 2 * LOOKS, axis=1)
        ordered = space.kinds == Kind.ORDER
        own[ordered, LOOKS:] = draw(int(ordered.sum()), 1)
        looks = centers[space.verticals[:, 0], None] + own * np.float32(_LABEL_SHARE)
        looks += draw(spec.labels, 2 * LOOKS) * np.float32(_LOOK_SHARE)
        streams = rng.choice(3, spec.labels, p=[0.5, 0.2, 0.3])
        looks[streams == 0, :, split:] = 0
        looks[streams == 1, :, :split] = 0
        first = np.minimum(space.partner, np.arange(spec.labels))
        distractors = centers[rng.integers(0, len(centers), _DISTRACTORS)] + draw(_DISTRACTORS)
        return np.concatenate([looks[first].reshape(-1, size), distractors])

    def clip(self, split: str, number: int) -> Clip:
        """Clip `number` of a split: with all its labels in search and report, none in test."""
        rng, true, given = self._open(split, number)
        parts = np.hsplit(self._frames(true, rng), [self.spec.rgb])
        rgb, audio = map(np.ascontiguousarray, parts)
        return Clip(f"{split}{number:07d}", given, {"rgb": rgb, "audio": audio})

    def given_labels(self, split: str, number: int) -> Integers:
        """The labels of `clip`, without the work of drawing its frames."""
        return self._open(split, number)[2]

    def _open(self, split: str, number: int) -> tuple[np.random.Generator, Integers, Integers]:
        """The clip's generator, its true labels and the labels that its record holds."""
        rng = np.random.default_rng([self.spec.seed, SPLITS.index(split), number])
        true, other = self.labels.sample(rng)
        missing = rng.random(len(true)) < self.spec.missing_labels
        missing[rng.integers(len(true))] = False
        wrong = rng.random() < self.spec.false_labels * len(true)
        if split == "test":
            return rng, true, true[:0]
        if split != "train":
            return rng, true, true
        return rng, true, np.union1d(true[~missing], [other] if wrong else true[:0])

    def _frames(self, labels: Integers, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Quantized frames (T, rgb + audio) that show `labels`."""
        spread = self.spec.max_frames + 1 - self.spec.min_frames
        length = self.spec.min_frames + int(spread * rng.random() ** 4)
        rows, strengths = self._events(labels, length, rng)
        shots = 1 + int(rng.poisson(length / _FRAMES_A_SHOT))
        shot_of_frame = np.sort(rng.integers(0, shots, length))
        picks = rng.integers(0, _BACKGROUNDS, len(rows) + shots + 2)
        in_shot = np.float32(_BACKGROUND) * (shot_of_frame[:, None] == np.arange(shots))
        whole = np.full((length, 2), _CLIP_BACKGROUND, np.float32)
        mixture = [strengths, strengths * np.float32(_EVENT_VARIATION), in_shot, whole]
        sources = np.concatenate([self._contents[rows], self._backgrounds[picks]])
        frames = np.concatenate(mixture, axis=1) @ sources
        frames += self._noise[rng.integers(0, _NOISE_ROWS, length)]
        frames += self._noise[rng.integers(0, _NOISE_ROWS, length)]
        frames *= np.float32(_BYTES_PER_UNIT)
        frames += np.float32(_ZERO_BYTE + 0.5)
        return np.clip(frames, 0, 255, out=frames).astype(np.uint8)

    def _events(
        self, labels: Integers, length: int, rng: np.random.Generator
    ) -> tuple[list[int], Vector]:
        """Rows of `_contents` that show in a clip, and how strongly in each frame (T, events)."""
        rows: list[int] = []
        strengths: list[Vector] = []
        for label in labels.tolist():
            events = EVENTS[self.labels.kinds[label]](length, rng)
            if self.labels.partner[label] < label:
                events = [((look + LOOKS) % (2 * LOOKS), shown) for look, shown in events]
            strength = np.float32(rng.uniform(0.7, 1.3))
            rows += [2 * LOOKS * label + look for look, _ in events]
            strengths += [strength * shown for _, shown in events]
        for _ in range(int(rng.poisson(_EVENTS_OF_DISTRACTORS))):
            rows.append(len(self._contents) - 1 - int(rng.integers(_DISTRACTORS)))
            strengths.append(np.float32(rng.uniform(0.7, 1.3)) * during(length, rng, 0.05, 0.4))
        return rows, np.stack(strengths, axis=1)


def _falling(size: int, knee: float, power: float) -> Vector:
    """A spectrum (1 + d / knee) ** -power, as a principal component analysis leaves it."""
    return ((1.0 + np.arange(size) / knee) ** -power).astype(np.float32)
