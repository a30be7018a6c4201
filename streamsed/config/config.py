"""The configuration: what ``config.yaml`` may say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from streamsed.bundle.manifest import ClassPostprocessing, Manifest
from streamsed.complaints import first_complaint, suggest
from streamsed.config.detecting import DetectConfig, RetryConfig
from streamsed.config.publishing import JournalConfig, PublishConfig
from streamsed.config.strict import Strict, UserPath
from streamsed.config.watching import ClipsConfig, LogConfig, MetricsConfig
from streamsed.errors import ConfigError
from streamsed.publish.messages import DAEMON
from streamsed.sources.config import MicrophoneSource, PipeSource, SourceConfig

Provider = Literal["auto", "cpu", "cuda"]


class Config(Strict):
    """Everything that ``streamsed run`` can be told.

    Attributes:
        bundle: folder of the model bundle; relative to the configuration file, else to the
            working directory; ``~`` is the home directory.
        provider: hardware for inference; ``auto`` takes a GPU if there is one that works.
        require_gpu: refuse to start without one.
        threads: of ONNX Runtime, for one inference.
        max_batch: sources that one inference computes together.
        queue_s: audio of one source that may wait to be processed. A live source loses its
            oldest audio beyond that; others wait.
        sources: the default is the default microphone.
    """

    bundle: UserPath = Path("models/domestic")
    provider: Provider = "auto"
    require_gpu: bool = False
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    max_batch: Annotated[int, Field(ge=1, le=4096)] = 32
    queue_s: Annotated[float, Field(ge=0.1, le=600.0)] = 5.0
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)] = (
        MicrophoneSource(name="mic"),
    )
    retry: RetryConfig = RetryConfig()
    publish: PublishConfig = PublishConfig()
    journal: JournalConfig = Field(default_factory=JournalConfig)
    detect: DetectConfig = DetectConfig()
    clips: ClipsConfig = Field(default_factory=ClipsConfig)
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()

    _origin: str = PrivateAttr("defaults")

    @property
    def origin(self) -> str:
        """The file that it was read from, for messages to people."""
        return self._origin

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        for name, count in Counter(source.name for source in sources).items():
            if count > 1:
                raise ValueError(f"{count} sources are named {name!r}; give each its own name")
            if name == DAEMON:
                raise ValueError(f"no source may be named {DAEMON!r}; that is the daemon's topic")
        if sum(isinstance(source, PipeSource) for source in sources) > 1:
            raise ValueError("there is one standard input, so there can be one pipe source")
        return sources

    @model_validator(mode="after")
    def _gpu_possible(self) -> Self:
        if self.require_gpu and self.provider == "cpu":
            raise ValueError("require_gpu: true contradicts provider: cpu; drop one of them")
        return self

    @property
    def disabled(self) -> frozenset[str]:
        """Labels whose events are not published."""
        classes = self.detect.classes
        return frozenset(label for label, entry in classes.items() if not entry.enabled)

    def postprocessing(self, manifest: Manifest) -> dict[str, ClassPostprocessing]:
        """Merge the overrides into the manifest's entries.

        Raises:
            ConfigError: an override names no class of the bundle or makes no sense.
        """
        entries = dict(manifest.postprocessing)
        for label, override in self.detect.classes.items():
            key = f"{self.origin}: detect.classes.{label}"
            if label not in entries:
                raise ConfigError(
                    f"{key}: no class of bundle {manifest.name!r}; "
                    f"{suggest(label, manifest.classes)}"
                )
            merged = entries[label].model_dump() | override.replacements()
            try:
                entries[label] = ClassPostprocessing.model_validate(merged)
            except ValidationError as error:
                complaint = first_complaint(error, content=merged, model=ClassPostprocessing)
                raise ConfigError(f"{key}: {complaint}") from error
        if self.disabled >= entries.keys():
            raise ConfigError(f"{self.origin}: detect.classes: every class is switched off")
        return entries

    def check_clips(self, manifest: Manifest) -> None:
        """Check that the classes to be recorded are classes of the bundle.

        Raises:
            ConfigError: one is not.
        """
        for label in self.clips.classes or ():
            if label not in manifest.classes:
                raise ConfigError(
                    f"{self.origin}: clips.classes: {label!r} is no class of bundle "
                    f"{manifest.name!r}; {suggest(label, manifest.classes)}"
                )

    def fusion_weights(self, manifest: Manifest) -> dict[str, float] | None:
        """Return the given weights by member; those it leaves out are as in the manifest.

        Raises:
            ConfigError: one names no member of the bundle.
        """
        weights = self.detect.fusion_weights
        names = [member.name for member in manifest.members]
        for name in weights or ():
            if name not in names:
                raise ConfigError(
                    f"{self.origin}: detect.fusion_weights.{name}: no member of bundle "
                    f"{manifest.name!r}; {suggest(name, names)}"
                )
        return weights
