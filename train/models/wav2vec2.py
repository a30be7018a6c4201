"""wav2vec 2.0 (Baevski et al., 2020) as a query: one vector of a second's audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchaudio.models import wav2vec2_model

from streamsed.errors import ConfigError


@dataclass(frozen=True)
class Wav2Vec2Config:
    """Size of the network; the defaults are torchaudio's ``wav2vec2_base``.

    Attributes:
        convolutions: (channels, kernel, stride) of each convolution on audio.
        width: of the transformer.
        layers: of the transformer.
        heads: of its attention.
        feed_forward: width within a layer.
        position_kernel: of the convolution that adds positions.
        position_groups: of that convolution.
        dropout: everywhere in the transformer.
        weights: file of a state dict as torchaudio's pipelines have them, such as
            ``wav2vec2_fairseq_base_ls960.pth``; null begins with random weights.
        frozen: whether the convolutions stay as they are.
        units: width of the query, behind one linear layer.
    """

    convolutions: tuple[tuple[int, int, int], ...] = (
        (512, 10, 5),
        *(((512, 3, 2),) * 4),
        *(((512, 2, 2),) * 2),
    )
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    position_kernel: int = 128
    position_groups: int = 16
    dropout: float = 0.1
    weights: Path | None = None
    frozen: bool = True
    units: int = 32


class Wav2Vec2Query(nn.Module):
    """The network, the mean of its frames, and a linear layer.

    Args:
        config: its size.

    Raises:
        ConfigError: the file of weights is missing, or of another network.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.network = wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=list(config.convolutions),
            extractor_conv_bias=False,
            encoder_embed_dim=config.width,
            encoder_projection_dropout=config.dropout,
            encoder_pos_conv_kernel=config.position_kernel,
            encoder_pos_conv_groups=config.position_groups,
            encoder_num_layers=config.layers,
            encoder_num_heads=config.heads,
            encoder_attention_dropout=config.dropout,
            encoder_ff_interm_features=config.feed_forward,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=config.dropout,
            encoder_layer_norm_first=False,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        self.linear = nn.Linear(config.width, config.units)
        if config.weights is not None:
            load_wav2vec2(self.network, config.weights)
        if config.frozen:
            self.network.feature_extractor.requires_grad_(False)

    def forward(self, audio: Tensor) -> Tensor:
        """Return ``(B, units)`` of seconds ``(B, N)``, at 16 kHz, scaled to unit variance each."""
        mean = audio.mean(dim=1, keepdim=True)
        deviation = (audio - mean).square().mean(dim=1, keepdim=True).sqrt()
        hidden, _ = self.network((audio - mean) / deviation.clamp(min=1e-5))
        query: Tensor = self.linear(hidden.mean(dim=1))
        return query


def load_wav2vec2(network: nn.Module, path: Path) -> None:
    """Load weights that torchaudio published, or that were saved of such a network.

    What belongs to a head for speech (``aux``) is left out.

    Raises:
        ConfigError: the file cannot be read, or is of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        kept = {name: value for name, value in state.items() if not name.startswith("aux.")}
        network.load_state_dict(kept)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); wav2vec2.weights must be a state dict of "
            "torchaudio's wav2vec 2.0, such as wav2vec2_fairseq_base_ls960.pth"
        ) from error
    except Exception as error:  # torch raises many kinds for what is no state dict
        raise ConfigError(
            f"{path}: is no state dict of a wav2vec 2.0 of this size; "
            f"{' '.join(str(error).split())[:160]}"
        ) from error
