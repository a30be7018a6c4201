"""From embeddings to clips: attention pooling whose scores are the frames' decision surface.

Lin, Wang, Liu and Qian, "Specialized decision surface and disentangled feature for
weakly-supervised polyphonic sound event detection", 2020. Of class ``c``, with embedding ``x_t`` of
``k`` features::

    s_tc = w_c . x_t        a_tc = softmax_t(s_tc / k)        h_c = sum_t a_tc x_t
    tag_c = sigmoid(u_c . h_c + v_c)                          frame_tc = sigmoid(s_tc)

So a frame's probability is the sigmoid of its attention score, and the classifier sees pooled
embeddings alone. Kernels ``w`` start at zero: all frames count the same at first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

EXCLUDED = -1e30
"""Attention score of frames that take no part."""


class Pooled(NamedTuple):
    """What pooling returns.

    Attributes:
        surface: ``(B, T, C)``, attention scores, which are the logits of the frames.
        tags: ``(B, C)`` logits of the clips.
    """

    surface: Tensor
    tags: Tensor


class AttentionPooling(nn.Module):
    """Embedding-level attention pooling with the specialised decision surface.

    Args:
        units: width of the embeddings.
        classes: number of classes.
        shares: disentangled features: class ``c`` sees the first ``int(units * shares[c])``
            features, but at least one; see :func:`disentangled_shares`. None shows all to all.
        bias: whether attention scores have one (in Lin et al., not in paper (a)).
    """

    seen: Tensor

    def __init__(
        self,
        units: int,
        classes: int,
        *,
        shares: Sequence[float] | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.zeros(classes, units))
        self.bias = nn.Parameter(torch.zeros(classes)) if bias else None
        self.classifier = nn.Linear(units, classes)
        # Kept with the weights: a stage may compute shares of what it learns from.
        self.register_buffer("seen", torch.ones(classes, units))
        if shares is not None:
            self.disentangle(shares)

    def disentangle(self, shares: Sequence[float]) -> None:
        """Show each class its share of the features, instead of what it was shown before.

        Raises:
            ValueError: there are more or fewer shares than classes, or one is not in (0, 1].
        """
        classes, units = self.seen.shape
        if len(shares) != classes or not all(0.0 < share <= 1.0 for share in shares):
            raise ValueError(f"shares {tuple(shares)}; must be {classes} in (0, 1]")
        widths = torch.tensor([max(1, int(units * share)) for share in shares])
        self.seen.copy_(torch.arange(units) < widths[:, None])

    def project(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return attention scores and what the classifier adds up, ``(B, T, C)`` each.

        The classifier is linear, so pooling what it makes of each frame is classifying the pooled
        embedding, and no embedding of each class is needed.
        """
        surface = nn.functional.linear(embeddings, self.kernels * self.seen, self.bias)
        values = nn.functional.linear(embeddings, self.classifier.weight * self.seen)
        return surface, values

    def pool(self, surface: Tensor, values: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the logits ``(..., C)`` of tags.

        Args:
            surface: ``(..., T, C)``.
            values: ``(..., T, C)``, from :meth:`project`.
            padding: ``(..., T)`` bool, True for frames that take no part; None for none.
        """
        scores = surface / self.seen.sum(dim=1)
        if padding is not None:
            scores = scores.masked_fill(padding.unsqueeze(-1), EXCLUDED)
        weights = torch.softmax(scores, dim=-2)
        return (weights * values).sum(dim=-2) + self.classifier.bias

    def forward(self, embeddings: Tensor, padding: Tensor | None = None) -> Pooled:
        """Pool frames into clips.

        Args:
            embeddings: ``(B, T, D)``.
            padding: ``(B, T)`` bool, True beyond the end of a clip.
        """
        surface, values = self.project(embeddings)
        with torch.autocast(surface.device.type, enabled=False):
            tags = self.pool(surface.float(), values.float(), padding)
        return Pooled(surface, tags)


def disentangled_shares(
    tags: Iterable[Collection[str]],
    classes: Sequence[str],
    *,
    least: float = 0.04,
    most_together: int = 1,
) -> tuple[float, ...]:
    """Return the share of features that each class sees, from the tags of training clips.

    ``f_c = m + (1 - m) n_c / max n`` with ``n_c`` the clips of up to ``most_together`` classes that
    hold class ``c``, each divided by its number of classes.

    Args:
        tags: of each clip.
        classes: in output order.
        least: m, the share of a class without such clips.
        most_together: clips of more classes than these do not count.

    Raises:
        ValueError: ``least`` is not in (0, 1], or no clip counts.
    """
    if not 0.0 < least <= 1.0:
        raise ValueError(f"least {least}; must be above 0, at most 1")
    counts: dict[str, float] = dict.fromkeys(classes, 0.0)
    for clip in tags:
        if 0 < len(clip) <= most_together:
            for label in clip:
                counts[label] = counts.get(label, 0.0) + 1 / len(clip)
    highest = max((counts[label] for label in classes), default=0.0)
    if not highest:
        raise ValueError(f"no clip of at most {most_together} classes: shares are not defined")
    return tuple(least + (1.0 - least) * counts[label] / highest for label in classes)
