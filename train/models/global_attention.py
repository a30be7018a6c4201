"""The global-attention CRNN: what sounds in a second, known from the scene around it.

A local network turns each second into a query, a context network every second around it into a
key and a value; additive attention takes the mean of the values (Do et al., "Sound event detection
with soft labels using self-attention mechanisms for global scene feature extraction", DCASE
2023). The head of scenes is the local network's, as in the paper. Here a *second* is
``frame_hops`` hops long, and is the score frame.

With a bidirectional context network and frames behind the present, the window runs anew for each
frame of a stream. With a causal one the keys and values of past frames stay as they are: a stream
keeps them as its state, and each second costs one new key and one new value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.frontend import LogMel
from train.frontend.config import PaddedFrontEndConfig
from train.models.dropout import Dropout
from train.models.model import Given, Output, SoundEventModel, Step, check_chunk, whole_frames
from train.models.registry import MODELS
from train.models.scene_attention import OUTSIDE, AdditiveAttention, ShiftNorm, windows
from train.models.soft_crnn import Branch, BranchConfig
from train.models.wav2vec2 import Wav2Vec2Config, Wav2Vec2Query

INSIDE, AUDIO = "inside", "audio"
"""Names of what ``clip`` may be given: ``(B, T)``, 0 for frames before a recording began; and the
clips' audio ``(B, N)``, without which there is no query of wav2vec 2.0."""


@dataclass(frozen=True)
class GlobalAttentionConfig:
    """Size of a :class:`GlobalAttention`.

    Attributes:
        classes: class names, in output order.
        scenes: names of the scenes that the scene head distinguishes; none for no such head.
        front_end: log-mel bands, of 400 ms every 200 ms, a hop of 3200.
        frame_hops: hops of a score frame: 5 are 1 s.
        query: the local network: a CRNN on the second's mel bands, or wav2vec 2.0 on its audio.
        local: size of the former.
        wav2vec2: size of the latter.
        context: size of the context network.
        context_hops: hops whose features are averaged before the context network; divides
            ``frame_hops``.
        before: frames of the past that a frame attends to.
        after: frames of the future; they are the look-ahead of a stream.
        causal: whether the context network is causal. It must be where ``after`` is 0 and keys
            are to be kept.
        attention_units: width of keys.
        fusion: how a frame and its scene are joined: ``concatenation``, or ``shift`` layer norm.
        mean_prediction: whether each hop of a second has a score of its own, compared with the
            second's labels, and the second's is their mean. Otherwise a second is scored once, from
            the mean of its hops, which the paper found better.
        dropout: before the output.
        chunk_samples: the hop of the exported step, one score frame.
        kind: names the model.
    """

    classes: tuple[str, ...]
    scenes: tuple[str, ...] = ()
    front_end: PaddedFrontEndConfig = field(
        default_factory=lambda: PaddedFrontEndConfig(f_min=50.0)
    )
    frame_hops: int = 5
    query: Literal["crnn", "wav2vec2"] = "crnn"
    local: BranchConfig = field(default_factory=BranchConfig)
    wav2vec2: Wav2Vec2Config = field(default_factory=Wav2Vec2Config)
    context: BranchConfig = field(default_factory=BranchConfig)
    context_hops: int = 1
    before: int = 20
    after: int = 20
    causal: bool = False
    attention_units: int = 32
    fusion: Literal["concatenation", "shift"] = "concatenation"
    mean_prediction: bool = False
    dropout: float = 0.2
    chunk_samples: int = 16_000
    kind: Literal["global_attention"] = "global_attention"

    def __post_init__(self) -> None:
        if not self.front_end.streams:
            raise ValueError("front_end must be causal and scaled by fixed statistics")
        if min(self.before, self.after) < 0:
            raise ValueError(f"before {self.before} and after {self.after}; must be 0 or more")
        if self.context_hops < 1 or self.frame_hops % self.context_hops:
            raise ValueError(
                f"context_hops {self.context_hops}; must divide frame_hops {self.frame_hops}"
            )
        if self.chunk_samples != self.frame_samples:
            raise ValueError(
                f"chunk_samples {self.chunk_samples}; must be one score frame, "
                f"{self.frame_samples} samples"
            )
        check_chunk(self.chunk_samples, self.frame_samples)
        for branch in (self.local, self.context):
            branch.bands(self.front_end.n_mels)
        if self.mean_prediction and self.query != "crnn":
            raise ValueError("mean_prediction needs query: crnn, which has an output for every hop")

    @property
    def frame_samples(self) -> int:
        """Samples of one score frame."""
        return self.frame_hops * self.front_end.hop_samples

    @property
    def latency_frames(self) -> int:
        """Look-ahead of scores."""
        return self.after

    @property
    def window_frames(self) -> int:
        """Frames that one frame's score depends on, if the context network is not causal."""
        return self.before + 1 + self.after


def _example(classes: tuple[str, ...]) -> GlobalAttentionConfig:
    return GlobalAttentionConfig(
        classes,
        scenes=("home", "street"),
        front_end=PaddedFrontEndConfig(n_fft=512, window_samples=512, hop_samples=256, n_mels=16),
        frame_hops=4,
        local=BranchConfig((4, 8), (2, 2), 8),
        context=BranchConfig((4, 8), (2, 2), 8),
        context_hops=2,
        before=5,
        after=0,
        causal=True,
        attention_units=8,
        fusion="shift",
        chunk_samples=1024,
    )


@MODELS.register(GlobalAttentionConfig, example=_example)
class GlobalAttention(SoundEventModel):
    """A local query, and attention over the scene.

    ``Output.extra`` has the logits of scenes ``(B, T, S)`` as ``scenes``, the attention's weights
    ``(B, T, before + 1 + after)`` as ``attention``, what the output is given as ``embeddings``, and
    the logits ``(B, T, H, C)`` of a second's hops as ``hops`` with a mean prediction.
    """

    config: GlobalAttentionConfig

    def __init__(self, config: GlobalAttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        bands, units = config.front_end.n_mels, config.context.rnn_units
        self.local: Branch | Wav2Vec2Query
        if config.query == "crnn":
            self.local = Branch(config.local, n_mels=bands, causal=False)
            width = config.local.rnn_units
        else:
            self.local = Wav2Vec2Query(config.wav2vec2)
            width = config.wav2vec2.units
        self.context = Branch(config.context, n_mels=bands, causal=config.causal)
        self.attention = AdditiveAttention(query=width, key=units, units=config.attention_units)
        self.fusion: ShiftNorm | nn.Linear
        if config.fusion == "shift":
            self.fusion = ShiftNorm(width, units)
        else:
            self.fusion = nn.Linear(width + units, width)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(width, len(config.classes))
        self.scene_head = nn.Linear(width, len(config.scenes)) if config.scenes else None

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips."""
        return super().mels(whole_frames(audio, self.config))

    def detect(
        self, audio: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips for training, from audio; see the base class."""
        return super().detect(audio, padding, {**(given or {}), AUDIO: audio})

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class.

        Raises:
            ValueError: the query is of audio, and only features are given.
        """
        given = given or {}
        inside = self._inside(features, padding, given)
        around = {"before": self.config.before, "after": self.config.after}
        local = self._local(features, given.get(AUDIO))
        context, _ = self._context(features)
        keys = windows(self.attention.key(context), **around)
        values = windows(context, **around)
        output = self._output(local, keys, values, windows(inside, **around))
        held = output.frames.float().masked_fill(inside[:, :, None] == 0.0, OUTSIDE)
        return output._replace(clip=torch.sigmoid(held.amax(dim=1)))

    def crop(self, features: Tensor, inside: Tensor, audio: Tensor | None = None) -> Output:
        """Score the frames of crops that have ``before`` frames before them and ``after`` behind.

        It is what :meth:`clip` returns of these frames, but that neither queries nor weights are
        computed of the others.

        Args:
            features: ``(B, H, F)``, scaled, of ``before + T + after`` score frames.
            inside: ``(B, before + T + after)``, 1 for frames of a recording.
            audio: ``(B, N)``, of which a query of wav2vec2 is made.

        Returns:
            Of T frames, without a clip-level output.
        """
        config = self.config
        first, end = config.before, inside.shape[1] - config.after
        hops, samples = config.frame_hops, config.frame_samples
        local = self._local(
            features[:, first * hops : end * hops],
            None if audio is None else audio[:, first * samples : end * samples],
        )
        context, _ = self._context(features)
        keys = windows(self.attention.key(context), before=0, after=config.window_frames - 1)
        values = windows(context, before=0, after=config.window_frames - 1)
        known = windows(inside, before=0, after=config.window_frames - 1)
        count = end - first
        return self._output(local, keys[:, :count], values[:, :count], known[:, :count])

    def _local(self, features: Tensor, audio: Tensor | None) -> Tensor:
        """Return ``(B, T, H, width)`` of features, or of audio, of whole frames."""
        if isinstance(self.local, Branch):
            return self._local_of_features(features)
        if audio is None:
            raise ValueError("a query of wav2vec2 is made of audio, and there are but features")
        return self._local_of_audio(whole_frames(audio, self.config))

    def _inside(self, features: Tensor, padding: Tensor | None, given: Given) -> Tensor:
        """Return ``(B, T)`` float32, 1 for frames of the recording."""
        count = features.shape[1] // self.config.frame_hops
        inside = torch.ones(len(features), count, device=features.device)
        if padding is not None:
            inside = inside * (~padding).float()
        return inside * given[INSIDE].float() if INSIDE in given else inside

    def _local_of_features(self, features: Tensor) -> Tensor:
        """Return ``(B, T, H, width)``, each second's hops known from that second alone."""
        hops = self.config.frame_hops
        seconds = torch.unflatten(features, 1, (-1, hops))
        hidden, _ = self.local(seconds.flatten(0, 1))
        return torch.unflatten(hidden, 0, seconds.shape[:2])

    def _local_of_audio(self, audio: Tensor) -> Tensor:
        """Return ``(B, T, 1, width)`` of audio ``(B, N)``, whole frames."""
        seconds = torch.unflatten(audio, 1, (-1, self.config.frame_samples))
        hidden: Tensor = self.local(seconds.flatten(0, 1))
        return torch.unflatten(hidden, 0, seconds.shape[:2]).unsqueeze(2)

    def _context(
        self, features: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a vector ``(B, T, units)`` of every second, and the next state."""
        config = self.config
        coarse = torch.unflatten(features, 1, (-1, config.context_hops)).mean(dim=2)
        hidden, after = self.context(coarse, state)
        parts = config.frame_hops // config.context_hops
        return torch.unflatten(hidden, 1, (-1, parts)).mean(dim=2), after

    def _output(self, local: Tensor, keys: Tensor, values: Tensor, inside: Tensor) -> Output:
        """Return the output of frames, each with its window ``(B, T, W, ...)``."""
        query = self.attention.query(local.mean(dim=2))
        weights = self.attention.weights(query, keys, inside)
        scene = self.attention.value((weights.unsqueeze(-1) * values).sum(dim=2))
        frames, extra = self.decide(local, scene)
        return Output(frames, None, {**extra, "attention": weights})

    def decide(self, local: Tensor, scene: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits ``(B, T, C)`` and further outputs.

        Args:
            local: ``(B, T, H, width)``.
            scene: ``(B, T, units)``.
        """
        pooled = local.mean(dim=2)
        if not self.config.mean_prediction:
            local = pooled.unsqueeze(2)
        over = scene.unsqueeze(2).expand(-1, -1, local.shape[2], -1)
        if isinstance(self.fusion, ShiftNorm):
            joined = self.fusion(local, over)
        else:
            joined = torch.relu(self.fusion(torch.cat([local, over.to(local.dtype)], dim=3)))
        hops = self.head(self.dropout(joined))
        extra = {"embeddings": joined.mean(dim=2)}
        if self.scene_head is not None:
            extra["scenes"] = self.scene_head(pooled)
        if not self.config.mean_prediction:
            return hops.squeeze(2), extra
        scores = torch.sigmoid(hops.float()).mean(dim=2)
        return torch.logit(scores, eps=1e-6), {**extra, "hops": hops}

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream; see the base class."""
        self._check(latency_frames)
        config = self.config
        audio = whole_frames(audio, config)
        frames = audio.shape[1] // config.frame_samples
        padded = nn.functional.pad(audio, (0, config.after * config.frame_samples))
        if config.causal:
            return torch.sigmoid(self.detect(padded).frames[:, :frames].float())
        reach = config.before * config.frame_samples
        whole = windows_of(nn.functional.pad(padded, (reach, 0)), config)
        inside = windows(
            torch.ones(len(audio), frames + config.after, device=audio.device),
            before=config.before,
            after=config.after,
        )
        parts = [
            torch.sigmoid(
                self.detect(window, None, {INSIDE: known}).frames[:, config.before].float()
            )
            for window, known in zip(whole.unbind(1), inside.unbind(1), strict=False)
        ]
        return torch.stack(parts, dim=1)[:, :frames]

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; see the base class. There are no tags."""
        self._check(latency_frames)
        if tags:
            raise self.refuse_tags()
        return _KeptKeys(self) if self.config.causal else _WholeWindow(self)

    def _check(self, latency_frames: int | None) -> None:
        if latency_frames not in (None, self.config.after):
            raise ConfigError(
                f"a {self.config.kind} trained to look {self.config.after} frames ahead "
                f"cannot be run with {latency_frames}"
            )


def windows_of(audio: Tensor, config: GlobalAttentionConfig) -> Tensor:
    """Return the windows ``(B, K, window_samples)`` of audio, one a frame."""
    return audio.unfold(1, config.window_frames * config.frame_samples, config.frame_samples)


class _KeptKeys(Step):
    """Keys, values and whether they are of audio, of the last ``window_frames`` seconds.

    With a look-ahead, the local vectors of the frames that are still to be scored as well.
    """

    tags = False

    def __init__(self, model: GlobalAttention) -> None:
        super().__init__()
        self.model, self.latency_frames = model, model.config.after
        self._width = model.head.in_features
        self._hops = 1 if model.config.query == "wav2vec2" else model.config.frame_hops

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.model.config
        kept = config.window_frames - 1
        shapes: dict[str, tuple[int, ...]] = {"samples": (config.front_end.halo_samples,)}
        shapes |= {f"context_{k}": v for k, v in self.model.context.state_shapes().items()}
        if kept:
            shapes["keys"] = (kept, config.attention_units)
            shapes["values"] = (kept, config.context.rnn_units)
            shapes["inside"] = (kept,)
        if config.after:
            shapes["local"] = (config.after, self._hops, self._width)
        return shapes

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model, config = self.model, self.model.config
        held = dict(zip(self.state_shapes(), state, strict=True))
        features, samples = model.chunk_features(chunk, held["samples"])
        branch = tuple(held[f"context_{name}"] for name in model.context.state_shapes())
        context, branch = model._context(features, branch)
        if isinstance(model.local, Branch):
            local = model._local_of_features(features)
        else:
            local = model._local_of_audio(chunk)
        keys, values = model.attention.key(context), context
        inside = torch.ones_like(chunk[:, :1])
        if "keys" in held:
            keys = torch.cat([held["keys"], keys], dim=1)
            values = torch.cat([held["values"], values], dim=1)
            inside = torch.cat([held["inside"], inside], dim=1)
        if config.after:
            local = torch.cat([held["local"], local], dim=1)
        present = local[:, :1]
        weights = model.attention.weights(
            model.attention.query(present.mean(dim=2)).squeeze(1), keys, inside
        )
        scene = model.attention.value((weights.unsqueeze(-1) * values).sum(dim=1, keepdim=True))
        logits, _ = model.decide(present, scene)
        after = [samples, *branch]
        if "keys" in held:
            after += [keys[:, 1:], values[:, 1:], inside[:, 1:]]
        if config.after:
            after.append(local[:, 1:])
        return (torch.sigmoid(logits), *after)


class _WholeWindow(Step):
    """The window's audio, and which of its frames a stream has had: all runs anew each second."""

    tags = False

    def __init__(self, model: GlobalAttention) -> None:
        super().__init__()
        self.model, self.latency_frames = model, model.config.after

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.model.config
        kept = config.window_frames - 1
        if not kept:
            return {"present": (1,)}  # a step has a state, even if nothing is to be kept
        return {"samples": (kept * config.frame_samples,), "inside": (kept,)}

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        config = self.model.config
        now = torch.ones_like(chunk[:, :1])
        if len(state) == 1:
            frames = self.model.detect(chunk, None, {INSIDE: now}).frames
            return torch.sigmoid(frames), state[0] * 1.0
        window = torch.cat([state[0], chunk], dim=1)
        inside = torch.cat([state[1], now], dim=1)
        frames = self.model.detect(window, None, {INSIDE: inside}).frames
        scores = torch.sigmoid(frames[:, config.before : config.before + 1])
        return scores, window[:, config.frame_samples :], inside[:, 1:]
