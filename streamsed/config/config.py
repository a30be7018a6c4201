"""The configuration: the keys of ``config.yaml``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from streamsed.bundle.finding import DEFAULT_BUNDLE, find_bundle
from streamsed.bundle.manifest import ClassPostprocessing, Manifest
from streamsed.config.detecting import DetectConfig, RetryConfig
from streamsed.config.publishing import JournalConfig, PublishConfig
from streamsed.config.strict import Strict, UserPath
from streamsed.config.watching import ClipsConfig, LogConfig, MetricsConfig, WebConfig
from streamsed.errors import ConfigError
from streamsed.publish.endpoints import overlap
from streamsed.publish.messages import DAEMON
from streamsed.sinks.config import SinkConfig
from streamsed.sources.config import SourceConfig
from streamsed.sources.kinds.microphone import MicrophoneSource
from streamsed.validation_messages import Location, Mistake, mistakes, suggest
from streamsed.yaml_document import Document, all_mistakes

Provider = Literal["auto", "cpu", "cuda"]


class Config(Strict):
    """The configuration of ``streamsed run``.

    Attributes:
        bundle: folder of the model bundle, or its name; relative to the configuration file, else
            to the working directory; ``~`` is the home directory.
        provider: hardware for inference; ``auto`` takes a GPU if there is one that works.
        require_gpu: refuse to start without one.
        threads: how many ONNX Runtime uses for one inference.
        max_batch: sources that one inference computes together.
        queue_s: audio of one source that may wait to be processed. A live source loses its
            oldest audio beyond that; others wait.
        sources: one or more of these; by default the system's default microphone, named ``mic``.
        sinks: where events go besides ZeroMQ, any number of these.
    """

    bundle: UserPath = DEFAULT_BUNDLE
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
    sinks: tuple[SinkConfig, ...] = ()
    detect: DetectConfig = DetectConfig()
    clips: ClipsConfig = Field(default_factory=ClipsConfig)
    metrics: MetricsConfig = MetricsConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()

    _origin: str = PrivateAttr("defaults")
    _documents: tuple[Document, ...] = PrivateAttr(())
    _bundle_beside: Path | None = PrivateAttr(None)

    @property
    def origin(self) -> str:
        """The file that it was read from, for messages to people."""
        return self._origin

    @property
    def bundle_folder(self) -> Path:
        """The folder of the bundle.

        Raises:
            BundleError: there is none; lists where it was looked for.
        """
        return find_bundle(self.bundle, beside=self._bundle_beside)

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        if wrong := name_mistakes([{"name": s.name, "type": s.type} for s in sources]):
            raise ValueError("; ".join(wrong))
        return sources

    @field_validator("sinks")
    @classmethod
    def _sink_names_differ(cls, sinks: tuple[SinkConfig, ...]) -> tuple[SinkConfig, ...]:
        for name, count in Counter(sink.name for sink in sinks).items():
            if count > 1:
                raise ValueError(f"{count} sinks are named {name!r}; give each its own name")
        return sinks

    @model_validator(mode="after")
    def _gpu_possible(self) -> Self:
        if self.require_gpu and self.provider == "cpu":
            raise ValueError("require_gpu: true contradicts provider: cpu; drop one of them")
        return self

    @model_validator(mode="after")
    def _metrics_apart(self) -> Self:
        if self.metrics.bind is not None:
            metrics, publish = f"tcp://{self.metrics.bind}", self.publish
            for address in (*publish.bind, *publish.request_binds):
                if overlap((metrics, address)):
                    raise ValueError(
                        f"metrics.bind {self.metrics.bind!r} and {address!r}, where messages go "
                        "or requests are answered, cannot both be bound; another port would be "
                        "right"
                    )
        return self

    @model_validator(mode="after")
    def _web_apart(self) -> Self:
        if self.web.bind is not None:
            web, publish = f"tcp://{self.web.bind}", self.publish
            beside = () if self.metrics.bind is None else (f"tcp://{self.metrics.bind}",)
            for address in (*publish.bind, *publish.request_binds, *beside):
                if overlap((web, address)):
                    raise ValueError(
                        f"web.bind {self.web.bind!r} and {address!r} cannot both be bound; another "
                        "port would be right"
                    )
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
        entries, wrong = self._merged(manifest)
        if wrong:
            raise self._error(wrong)
        return entries

    def check_bundle(self, manifest: Manifest) -> None:
        """Check that what is configured of a bundle's classes and members fits the bundle.

        Raises:
            ConfigError: everything that does not.
        """
        wrong = [
            *self._merged(manifest)[1],
            *self._wrong_weights(manifest),
            *self._wrong_clips(manifest),
        ]
        if wrong:
            raise self._error(wrong)

    def fusion_weights(self, manifest: Manifest) -> dict[str, float] | None:
        """Return the given weights by member; those it leaves out are as in the manifest.

        Raises:
            ConfigError: one names no member of the bundle.
        """
        if wrong := self._wrong_weights(manifest):
            raise self._error(wrong)
        return self.detect.fusion_weights

    def _merged(self, manifest: Manifest) -> tuple[dict[str, ClassPostprocessing], list[Mistake]]:
        entries, wrong = dict(manifest.postprocessing), []
        for label, override in self.detect.classes.items():
            location: Location = ("detect", "classes", label)
            if label not in entries:
                problem = f"no class of bundle {manifest.name!r}; {suggest(label, entries)}"
                wrong.append(Mistake(location, problem))
                continue
            merged = entries[label].model_dump() | override.replacements()
            try:
                entries[label] = ClassPostprocessing.model_validate(merged)
            except ValidationError as error:
                found = mistakes(error, model=ClassPostprocessing)
                wrong += (Mistake((*location, *each.location), each.problem) for each in found)
        if self.disabled >= entries.keys():
            wrong.append(Mistake(("detect", "classes"), "every class is switched off"))
        return entries, wrong

    def _wrong_weights(self, manifest: Manifest) -> list[Mistake]:
        names = [member.name for member in manifest.members]
        return [
            Mistake(
                ("detect", "fusion_weights", name),
                f"no member of bundle {manifest.name!r}; {suggest(name, names)}",
            )
            for name in self.detect.fusion_weights or ()
            if name not in names
        ]

    def _wrong_clips(self, manifest: Manifest) -> list[Mistake]:
        return [
            Mistake(
                ("clips", "classes"),
                f"{label!r} is no class of bundle {manifest.name!r}; "
                f"{suggest(label, manifest.classes)}",
            )
            for label in self.clips.classes or ()
            if label not in manifest.classes
        ]

    def _error(self, wrong: list[Mistake]) -> ConfigError:
        if self._documents:
            return all_mistakes(wrong, documents=self._documents)
        return ConfigError(*(f"{self.origin}: {mistake}" for mistake in wrong))


def name_mistakes(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with sources beside each other, of which each has a name and a type."""
    wrong = []
    names = Counter(name for source in sources if isinstance(name := source.get("name"), str))
    for name, count in names.items():
        if count > 1:
            wrong.append(f"{count} sources are named {name!r}; give each its own name")
        if name == DAEMON:
            wrong.append(f"no source may be named {DAEMON!r}; that is the daemon's topic")
    if sum(source.get("type") == "pipe" for source in sources) > 1:
        wrong.append("there is one standard input, so there can be one pipe source")
    return wrong
