"""All changes that a recipe lists, at the three places of a step where they belong."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from train.augment.filtering import FilterConfig, filter_mels
from train.augment.masking import MaskConfig, mask_bands, mask_time
from train.augment.pitch import PitchConfig, shift_pitch
from train.augment.reverberation import ReverberationConfig, put_in_rooms
from train.augment.shifting import FrameShiftConfig, shift_frames
from train.augment.waveform import ClippingConfig, GainConfig, change_gain, clip_peaks


@dataclass(frozen=True)
class AugmentConfig:
    """What is changed in a batch; null leaves a change out.

    Attributes:
        pitch: of audio.
        reverberation: of audio.
        gain: of audio.
        clipping: of audio.
        filter: of linear mel bands.
        frame_shift: of features, and labels with them.
        time_masks: in features.
        band_masks: in features.
    """

    pitch: PitchConfig | None = None
    reverberation: ReverberationConfig | None = None
    gain: GainConfig | None = None
    clipping: ClippingConfig | None = None
    filter: FilterConfig | None = None
    frame_shift: FrameShiftConfig | None = None
    time_masks: MaskConfig | None = None
    band_masks: MaskConfig | None = None

    @property
    def of_audio(self) -> tuple[str, ...]:
        """Names of the changes that need audio; mel bands that are kept cannot have them."""
        names = ("pitch", "reverberation", "gain", "clipping")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def of_features(self) -> tuple[str, ...]:
        """Names of the changes to mel bands and features."""
        names = ("filter", "frame_shift", "time_masks", "band_masks")
        return tuple(name for name in names if getattr(self, name) is not None)


def augment_audio(
    audio: Tensor,
    config: AugmentConfig,
    *,
    responses: Tensor | None,
    generator: Generator | None = None,
) -> Tensor:
    """Return changed clips ``(B, N)``, in the order in which a world and a device change sounds.

    Args:
        audio: ``(B, N)``.
        config: which changes.
        responses: ``(R, L)`` impulse responses; None only without reverberation.
        generator: on the CPU; None for torch's own.
    """
    if config.pitch is not None:
        audio = shift_pitch(audio, config.pitch, generator=generator)
    if config.reverberation is not None:
        assert responses is not None
        audio = put_in_rooms(audio, responses, config.reverberation, generator=generator)
    if config.gain is not None:
        audio = change_gain(audio, config.gain, generator=generator)
    if config.clipping is not None:
        audio = clip_peaks(audio, config.clipping, generator=generator)
    return audio


def augment_mels(
    mels: Tensor, config: AugmentConfig, *, power: int, generator: Generator | None = None
) -> Tensor:
    """Return changed linear mel bands ``(B, T, F)``; ``power`` as in :func:`filter_mels`."""
    if config.filter is None:
        return mels
    return filter_mels(mels, config.filter, power=power, generator=generator)


def augment_features(
    features: Tensor,
    labels: Tensor,
    config: AugmentConfig,
    *,
    pooling: int,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return changed features ``(B, T, F)`` and frame labels ``(B, T', C)``.

    Args:
        features: scaled.
        labels: of their score frames.
        config: which changes.
        pooling: feature frames of one score frame.
        generator: on the CPU; None for torch's own.
    """
    if config.frame_shift is not None:
        features, labels = shift_frames(
            features, labels, config.frame_shift, pooling=pooling, generator=generator
        )
    if config.time_masks is not None:
        features = mask_time(features, config.time_masks, generator=generator)
    if config.band_masks is not None:
        features = mask_bands(features, config.band_masks, generator=generator)
    return features, labels
