"""Changes to clips in training that leave their labels true, or change these too.

Each is a pure function of tensors, a frozen configuration and a generator on the CPU, so that it
can be repeated on any machine. None of them passes gradients on.
"""

from train.augment.chain import (
    AugmentConfig,
    augment_audio,
    augment_features,
    augment_mels,
)
from train.augment.filtering import FilterConfig, filter_mels
from train.augment.masking import MaskConfig, mask_bands, mask_time
from train.augment.pitch import PitchConfig, shift_pitch
from train.augment.reverberation import ReverberationConfig, put_in_rooms, reverberate
from train.augment.shifting import FrameShiftConfig, shift_frames
from train.augment.waveform import ClippingConfig, GainConfig, change_gain, clip_peaks

__all__ = [
    "AugmentConfig",
    "ClippingConfig",
    "FilterConfig",
    "FrameShiftConfig",
    "GainConfig",
    "MaskConfig",
    "PitchConfig",
    "ReverberationConfig",
    "augment_audio",
    "augment_features",
    "augment_mels",
    "change_gain",
    "clip_peaks",
    "filter_mels",
    "mask_bands",
    "mask_time",
    "put_in_rooms",
    "reverberate",
    "shift_frames",
    "shift_pitch",
]
