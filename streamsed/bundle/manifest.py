"""The manifest of a model bundle: the contract between export (``train/``) and the runtime."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Bounded, because windows are held in memory and counted in frames.
Seconds = Annotated[float, Field(ge=0.0, le=3600.0)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]

# A file directly inside the bundle's folder: no path, so a manifest cannot reach outside.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
Label = Annotated[str, Field(pattern=r"^[^\s/]([^\t\n\r/]*[^\s/])?$")]

SCHEMA = "streamsed.bundle/1"
MANIFEST_FILE = "manifest.yaml"
SELFTEST_FILE = "selftest.npz"
SELFTEST_TOLERANCE = 1e-4


def class_name(label: str) -> str:
    """Return what a class of this label is called in a bundle: a slash becomes a hyphen.

    Labels are parts of topics, which slashes divide. MAESTRO Real's ``door opens/closes`` is
    ``door opens-closes`` from its reader on, in models, messages and evaluations.
    """
    return label.replace("/", "-")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StateTensor(_Strict):
    """One tensor of a member's state between steps.

    The graph has an input ``name`` and an output ``next_<name>``, float32, of shape
    ``(B, *shape)``. A stream starts with every element equal to ``initial``.
    """

    name: Annotated[str, Field(min_length=1)]
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    initial: Annotated[float, Field(allow_inf_nan=False)] = 0.0


class Member(_Strict):
    """One ONNX graph: ``scores, [tags,] next_state... = step(chunk, state...)``.

    Inputs: ``chunk`` (B, chunk_samples) float32, then the states. Outputs: ``scores``
    (B, frames_per_chunk, C) float32 in [0, 1], ``tags`` (B, C) if ``tags`` is set, then
    ``next_<state>``. Only the batch axis is free. The scores of a step belong to the frames that
    end ``latency_frames`` before the end of its chunk.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    graph: FileName
    weight: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    latency_frames: Annotated[int, Field(ge=0)] = 0
    tags: bool = False
    states: tuple[StateTensor, ...] = ()


class ClassPostprocessing(_Strict):
    """How the scores of one class become events (all times in seconds, at most an hour).

    Attributes:
        enter: an event starts where the filtered score reaches this.
        exit: it goes on while the filtered score stays at or above this; ``exit <= enter``.
        median_s: length of the centred median window; made odd in frames, at least one.
        min_on_s: events shorter than this are not reported.
        min_off_s: pauses shorter than this do not end an event.
        max_on_s: an event this long (at most a day) is ended and a new one begun; None for no
            limit.
        tag_threshold: scores count only while the fused tag exceeds this; None for no gate.
    """

    enter: Score = 0.5
    exit: Score = 0.5
    median_s: Seconds = 0.0
    min_on_s: Seconds = 0.0
    min_off_s: Seconds = 0.0
    max_on_s: Annotated[float, Field(gt=0.0, le=86_400.0)] | None = None
    tag_threshold: Score | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.exit > self.enter:
            raise ValueError(f"exit {self.exit} is above enter {self.enter}; it must not be")
        if self.max_on_s is not None and self.max_on_s < self.min_on_s:
            raise ValueError(
                f"max_on_s {self.max_on_s} is below min_on_s {self.min_on_s}; "
                "no event could ever be reported"
            )
        return self


class Provenance(_Strict):
    """Where a bundle comes from; free-form below the named keys."""

    recipe: str
    data: str
    licences: tuple[str, ...]
    scores: dict[str, Any] = Field(default_factory=dict)


class Manifest(_Strict):
    """``manifest.yaml`` of a bundle.

    Attributes:
        chunk_samples: samples of one step (the hop).
        frame_samples: score resolution; divides ``chunk_samples``.
        warmup_frames: scores of this many first frames of a stream are not decoded.
        postprocessing: one entry for each class, in any order.
        files: sha256 in hex of every file of the bundle but the manifest.
    """

    schema_: Literal["streamsed.bundle/1"] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    version: str
    classes: Annotated[tuple[Label, ...], Field(min_length=1)]
    sample_rate: Annotated[int, Field(ge=1)]
    chunk_samples: Annotated[int, Field(ge=1)]
    frame_samples: Annotated[int, Field(ge=1)]
    warmup_frames: Annotated[int, Field(ge=0)] = 0
    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    postprocessing: dict[str, ClassPostprocessing]
    provenance: Provenance
    files: dict[FileName, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names a class twice")
        if self.chunk_samples % self.frame_samples:
            raise ValueError(
                f"chunk_samples {self.chunk_samples} is no multiple of "
                f"frame_samples {self.frame_samples}"
            )
        if set(self.postprocessing) != set(self.classes):
            odd = sorted(set(self.postprocessing) ^ set(self.classes))
            raise ValueError(f"postprocessing and classes differ in {', '.join(odd)}")
        names = [member.name for member in self.members]
        if len(set(names)) != len(names):
            raise ValueError("members names a member twice")
        gated = sorted(c for c, p in self.postprocessing.items() if p.tag_threshold is not None)
        if gated and not any(member.tags for member in self.members):
            raise ValueError(f"tag_threshold of {', '.join(gated)}: no member yields tags")
        needed = {SELFTEST_FILE, *(member.graph for member in self.members)}
        if missing := sorted(needed - set(self.files)):
            raise ValueError(f"files lacks the sha256 of {', '.join(missing)}")
        return self

    @property
    def frames_per_chunk(self) -> int:
        """Score frames that one step yields."""
        return self.chunk_samples // self.frame_samples

    @property
    def frame_s(self) -> float:
        """Length of a score frame in seconds."""
        return self.frame_samples / self.sample_rate

    @property
    def latency_frames(self) -> int:
        """Look-ahead of the slowest member, in frames."""
        return max(member.latency_frames for member in self.members)
