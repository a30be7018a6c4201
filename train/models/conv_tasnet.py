"""Conv-TasNet (Luo, Mesgarani 2019): a mixture's waveform to those of its sources.

In two forms, which the normalisation decides. ``global`` is the paper's: convolutions see both
ways and layers are normalised over a whole clip. The others are causal and stream: every
convolution sees the present and the past, and what a chunk needs of those before it is handed in
and out. A sample is then known when the last encoder frame that covers it has ended, so streamed
sources come ``delay_samples`` late.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.layer_norm import Normalisation, make_norm
from train.models.registry import MODELS

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class ConvTasNetConfig:
    """Size of a :class:`ConvTasNet`.

    The defaults are those of "Source Separation for Sound Event Detection in Domestic
    Environments using Jointly Trained Models": R = 1, X = 4, M = 4; what it leaves unsaid is
    asteroid's default.

    Attributes:
        sources: M, how many come out.
        filters: N, of the encoder and the decoder.
        kernel_samples: L, their length.
        stride_samples: from one encoder frame to the next; half of ``kernel_samples`` or less.
        bottleneck: B, channels between blocks.
        hidden: H, channels inside a block.
        skip: Sc, channels from every block to the masks.
        kernel_frames: P, odd, of the depthwise convolutions.
        blocks: X, of dilations 1, 2, 4 and so on.
        repeats: R, of these.
        mask: what bounds the masks.
        norm: ``global``, over a clip; ``cumulative``, over the past; ``channel``, over the
            channels of each frame alone.
        memory_s: of the cumulative norm: statistics are of all frames so far at first, and forget
            with this time constant later, so that they stay exact however long a stream is.
        consistent: whether the sources are made to sum to the mixture. Not in the paper.
        sample_rate: Hz.
        kind: names the model.
    """

    sources: int = 4
    filters: int = 512
    kernel_samples: int = 16
    stride_samples: int = 8
    bottleneck: int = 128
    hidden: int = 512
    skip: int = 128
    kernel_frames: int = 3
    blocks: int = 4
    repeats: int = 1
    mask: Literal["sigmoid", "relu"] = "sigmoid"
    norm: Literal["global", "cumulative", "channel"] = "global"
    memory_s: float = 8.0
    consistent: bool = False
    sample_rate: int = 16000
    kind: Literal["conv_tasnet"] = "conv_tasnet"

    def __post_init__(self) -> None:
        if self.delay_samples < 1 or self.kernel_samples % self.stride_samples:
            raise ValueError(
                f"kernel_samples {self.kernel_samples}; must be twice stride_samples "
                f"{self.stride_samples} or another multiple"
            )
        if self.kernel_frames < 3 or self.kernel_frames % 2 == 0:
            raise ValueError(
                f"kernel_frames {self.kernel_frames}; must be 3 or a larger odd number"
            )
        if min(self.sources, self.blocks, self.repeats) < 1 or self.memory_frames < 2:
            raise ValueError("sources, blocks and repeats must be 1 or more, memory_s two frames")

    @property
    def streams(self) -> bool:
        """Whether a source depends on nothing but what came up to ``delay_samples`` later."""
        return self.norm != "global"

    @property
    def delay_samples(self) -> int:
        """How late streamed sources are."""
        return self.kernel_samples - self.stride_samples

    @property
    def memory_frames(self) -> int:
        """``memory_s`` in encoder frames."""
        return round(self.memory_s * self.sample_rate / self.stride_samples)


class _Sums:
    """Hands each normalisation its part of the state, in the order in which they are applied."""

    def __init__(self, before: Tensor | None) -> None:
        self.before = before
        self.after: list[Tensor] = []

    def norm(self, layer: Normalisation, x: Tensor) -> Tensor:
        before = None if self.before is None else self.before[:, len(self.after)]
        y: Tensor
        y, after = layer(x, before)
        if before is not None:
            self.after.append(after)
        return y


def mixture_consistent(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Share out what the estimates lack of the mixture, so that they sum to it.

    Wisdom et al. 2019, "Differentiable consistency constraints", equation 5 with equal weights.

    Args:
        estimates: ``(B, M, N)``.
        mixture: ``(B, N)``.
    """
    lacking = mixture - estimates.sum(dim=1)
    return estimates + lacking[:, None] / estimates.shape[1]


class Block(nn.Module):
    """1x1, depthwise and 1x1 convolutions, with a residual and a skip output.

    Args:
        config: sizes.
        dilation: of the depthwise convolution.
        last: whether no block follows, so that nothing would read a residual.
    """

    def __init__(self, config: ConvTasNetConfig, *, dilation: int, last: bool) -> None:
        super().__init__()
        hidden = config.hidden
        self.streams = config.streams
        self.halo = (config.kernel_frames - 1) * dilation
        self.expand = nn.Conv1d(config.bottleneck, hidden, 1)
        self.depthwise = nn.Conv1d(
            hidden, hidden, config.kernel_frames, dilation=dilation, groups=hidden
        )
        self.expanded_activation = nn.PReLU()
        self.depthwise_activation = nn.PReLU()
        self.expanded_norm = _norm(config, hidden)
        self.depthwise_norm = _norm(config, hidden)
        self.residual = None if last else nn.Conv1d(hidden, config.bottleneck, 1)
        self.skip = nn.Conv1d(hidden, config.skip, 1)

    def forward(self, x: Tensor, halo: Tensor | None, sums: _Sums) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(B, bottleneck, K)`` to the next block's input and to ``(B, skip, K)``.

        Args:
            x: the input.
            halo: ``(B, hidden, halo)``, the frames before, of a form that streams.
            sums: of the normalisations.

        Returns:
            The next input, the skip output, the next halo.
        """
        y = sums.norm(self.expanded_norm, self.expanded_activation(self.expand(x)))
        if halo is None:
            wide = F.pad(y, (self.halo // 2, self.halo // 2))
        else:
            wide = torch.cat([halo.to(y.dtype), y], dim=2)
        y = sums.norm(self.depthwise_norm, self.depthwise_activation(self.depthwise(wide)))
        after = wide[:, :, -self.halo :]
        return (x if self.residual is None else x + self.residual(y)), self.skip(y), after


def _example(_classes: tuple[str, ...]) -> ConvTasNetConfig:
    return ConvTasNetConfig(
        filters=16,
        kernel_samples=64,
        stride_samples=32,
        bottleneck=8,
        hidden=8,
        skip=8,
        blocks=2,
        norm="cumulative",
        memory_s=2.0,
    )


@MODELS.register(ConvTasNetConfig, example=_example)
class ConvTasNet(nn.Module):
    """Learned filterbank, masks from a temporal convolutional network, filterbank back.

    Of asteroid's it differs in that the last block has no residual convolution, which nothing
    would read.
    """

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Conv1d(
            1, config.filters, config.kernel_samples, stride=config.stride_samples, bias=False
        )
        self.norm = _norm(config, config.filters)
        self.narrow = nn.Conv1d(config.filters, config.bottleneck, 1)
        count = config.repeats * config.blocks
        self.blocks = nn.ModuleList(
            Block(config, dilation=2 ** (index % config.blocks), last=index == count - 1)
            for index in range(count)
        )
        self.activation = nn.PReLU()
        self.widen = nn.Conv1d(config.skip, config.sources * config.filters, 1)
        self.decoder = nn.Linear(config.filters, config.kernel_samples, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate clips.

        Args:
            mixture: ``(B, N)`` float32.

        Returns:
            ``(B, M, N)``, each sample in its place.
        """
        config = self.config
        batch, length = mixture.shape
        after = -length % config.stride_samples + config.delay_samples
        padded = F.pad(mixture, (0, after))
        if config.streams:
            sources, _ = self.stream(padded, self.initial_state(batch, mixture.device))
        else:
            samples = F.pad(padded, (config.delay_samples, 0))
            sources, _ = self._masked(samples, [None] * len(self.blocks), _Sums(None))
            sources = self._finish(sources[:, :, : padded.shape[1]], samples)
        return sources[:, :, config.delay_samples :][:, :, :length]

    def stream(self, chunk: Tensor, state: State) -> tuple[Tensor, State]:
        """Separate the next chunk of streams; of a form that streams.

        Args:
            chunk: ``(B, n)`` float32, ``n`` a multiple of ``stride_samples`` and no less than
                ``delay_samples``.
            state: as the previous call, or :meth:`initial_state`, returned it.

        Returns:
            Sources ``(B, M, n)``, ``delay_samples`` late, and the next state.
        """
        assert self.config.streams
        samples, tail, *halos = state
        sums = _Sums(halos.pop() if self._has_sums else None)
        samples = torch.cat([samples, chunk], dim=1)
        sources, halos_after = self._masked(samples, halos, sums)
        n = chunk.shape[1]
        late = sources.shape[2] - n
        finished = torch.cat([sources[:, :, :late] + tail, sources[:, :, late:n]], dim=2)
        finished = self._finish(finished, samples)
        after = [samples[:, n:], sources[:, :, n:], *halos_after]
        if self._has_sums:
            after.append(torch.stack(sums.after, dim=1))
        return finished, tuple(after)

    @property
    def _has_sums(self) -> bool:
        return self.config.norm == "cumulative"

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape, without the batch axis, of every state tensor, in order."""
        config = self.config
        shapes: dict[str, tuple[int, ...]] = {
            "samples": (config.delay_samples,),
            "tail": (config.sources, config.delay_samples),
        }
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            shapes[f"block{index}"] = (config.hidden, block.halo)
        if self._has_sums:
            shapes["sums"] = (1 + 2 * len(self.blocks), 3)
        return shapes

    def initial_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the state of streams at their beginning: zeros, ``(batch, *shape)`` each."""
        return tuple(
            torch.zeros(batch, *shape, device=device) for shape in self.state_shapes().values()
        )

    def _masked(
        self, samples: Tensor, halos: Sequence[Tensor | None], sums: _Sums
    ) -> tuple[Tensor, list[Tensor]]:
        """Return sources ``(B, M, K * stride + delay)`` of as many samples, and the next halos."""
        config = self.config
        weights = self.encoder(samples[:, None])
        x = self.narrow(sums.norm(self.norm, weights))
        total: Tensor | None = None
        after = []
        for block, halo in zip(self.blocks, halos, strict=True):
            x, skip, halo_after = block(x, halo, sums)
            total = skip if total is None else total + skip
            after.append(halo_after)
        masks = self.widen(self.activation(total))
        masks = masks.unflatten(1, (config.sources, config.filters))
        masks = torch.sigmoid(masks) if config.mask == "sigmoid" else torch.relu(masks)
        return self._decode(masks * weights[:, None]), after

    def _decode(self, weights: Tensor) -> Tensor:
        """Turn weights ``(B, M, N, K)`` into frames, overlapped and added."""
        config = self.config
        stride = config.stride_samples
        parts = self.decoder(weights.transpose(2, 3)).float()  # (B, M, K, L)
        overlapped = [
            F.pad(
                parts[..., start : start + stride].flatten(2),
                (start, config.delay_samples - start),
            )
            for start in range(0, config.kernel_samples, stride)
        ]
        return functools.reduce(torch.add, overlapped)

    def _finish(self, sources: Tensor, samples: Tensor) -> Tensor:
        if not self.config.consistent:
            return sources
        return mixture_consistent(sources, samples[:, : sources.shape[2]])


def _norm(config: ConvTasNetConfig, channels: int) -> Normalisation:
    return make_norm(config.norm, channels, memory_frames=config.memory_frames)
