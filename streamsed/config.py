"""The configuration: what ``config.yaml`` may say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from streamsed.bundle.manifest import ClassPostprocessing, Manifest, Score, Seconds
from streamsed.complaints import first_complaint, suggest
from streamsed.errors import ConfigError
from streamsed.publish.admission import Admission
from streamsed.publish.endpoints import (
    check_bind,
    default_binds,
    http_address,
    requests_address,
)
from streamsed.publish.journal_folder import state_directory
from streamsed.publish.messages import DAEMON
from streamsed.sources.config import FileSource, MicrophoneSource, PipeSource, SourceConfig

Provider = Literal["auto", "cpu", "cuda"]
PositiveSeconds = Annotated[float, Field(gt=0.0, le=3600.0)]


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{str(path)!r}: there is no such user's home directory") from error


def _none_or_not_too_often(interval_s: float) -> float:
    if interval_s and not 0.1 <= interval_s <= 3600.0:  # false for NaN
        raise ValueError(f"{interval_s} is neither 0 nor within 0.1 to 3600")
    return interval_s


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CurveConfig(_Strict):
    """Who may connect: those whose keys are known; everything is encrypted.

    Attributes:
        secret_key: the daemon's file ``NAME.key_secret``, as ``streamsed keys new`` makes it.
        clients: folder of the public keys of those who may connect, looked at as they come.
    """

    secret_key: Annotated[Path, AfterValidator(_expanded)]
    clients: Annotated[Path, AfterValidator(_expanded)]

    def beside(self, file: Path) -> Self:
        """Resolve its paths as those of the configuration file ``file``, there or not yet."""
        folder = file.parent
        return self.model_copy(
            update={"secret_key": folder / self.secret_key, "clients": folder / self.clients}
        )


class PublishConfig(_Strict):
    """Where and how messages are published.

    Attributes:
        bind: addresses; by default TCP on loopback, and an ipc socket in the runtime directory.
        requests: addresses where requests are answered; null for those that go with ``bind``, an
            empty list for none.
        ipc_mode: permissions of the files of ipc sockets, in octal.
        curve: keys, on every address; null for none.
        insecure: allow addresses that other machines reach, though without keys anybody there may
            connect and nothing is encrypted.
        heartbeat_s: interval of heartbeats.
        levels_every_s: interval, in a source's audio, of its level messages; 0 for none.
        send_high_water: messages kept for a slow subscriber before it loses the newest.
        linger_s: how long the end waits for subscribers to take the last messages.
        wait_for_subscriber_s: how long the start waits for a first subscriber; 0 for not at all.
    """

    bind: Annotated[tuple[str, ...], Field(min_length=1)] = Field(default_factory=default_binds)
    requests: tuple[str, ...] | None = None
    ipc_mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = "0600"
    curve: CurveConfig | None = None
    insecure: bool = False
    heartbeat_s: PositiveSeconds = 1.0
    levels_every_s: Annotated[float, AfterValidator(_none_or_not_too_often)] = 0.0
    send_high_water: Annotated[int, Field(ge=1)] = 10_000
    linger_s: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    wait_for_subscriber_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0

    @field_validator("ipc_mode", mode="before")
    @classmethod
    def _octal(cls, mode: object) -> object:
        if isinstance(mode, int):  # YAML takes 0660 for an octal number, and 660 for a decimal one
            raise ValueError('must be in quotes, such as "0660"')
        return mode

    @model_validator(mode="after")
    def _binds_allowed(self) -> Self:
        for address in (*self.bind, *self.request_binds):
            check_bind(address, guarded=self.insecure or self.curve is not None)
        return self

    @property
    def request_binds(self) -> tuple[str, ...]:
        """Addresses where requests are answered."""
        if self.requests is not None:
            return self.requests
        return tuple(requests_address(address) for address in self.bind)

    @property
    def ipc_permissions(self) -> int:
        """``ipc_mode`` as a number."""
        return int(self.ipc_mode, 8)

    def beside(self, file: Path) -> Self:
        """Resolve its paths as those of the configuration file ``file``."""
        if self.curve is None:
            return self
        return self.model_copy(update={"curve": self.curve.beside(file)})

    def admission(self) -> Admission | None:
        """Read the keys; None if none are asked for.

        Raises:
            KeysError: they are missing, malformed or not safe from others.
        """
        if self.curve is None:
            return None
        return Admission.read(secret_key=self.curve.secret_key, clients=self.curve.clients)


class JournalConfig(_Strict):
    """Where messages are kept, for catching up and for history.

    Attributes:
        enabled: whether they are kept at all.
        path: folder of the file; by default the service's or the user's state directory.
        keep_days: age beyond which messages are removed.
        max_mb: size of the file (in units of 2^20 bytes) beyond which the oldest are removed.
    """

    enabled: bool = True
    path: Annotated[Path, AfterValidator(_expanded)] = Field(default_factory=state_directory)
    keep_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 30.0
    max_mb: Annotated[float, Field(ge=1.0, le=1_000_000.0)] = 256.0


class ClassOverride(_Strict):
    """What replaces a class's entry in the bundle's manifest; what is not given stays.

    See :class:`streamsed.bundle.manifest.ClassPostprocessing` for the meaning of each.
    """

    enabled: bool = True
    enter: Score | None = None
    exit: Score | None = None
    median_s: Seconds | None = None
    min_on_s: Seconds | None = None
    min_off_s: Seconds | None = None
    max_on_s: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None

    def replacements(self) -> dict[str, float | None]:
        """Return the given entries; ``max_on_s: null`` is given, and means no limit."""
        given = self.model_dump(exclude={"enabled"}, exclude_unset=True)
        return {key: v for key, v in given.items() if v is not None or key == "max_on_s"}


class DetectConfig(_Strict):
    """How scores become events, on top of what the bundle's manifest says.

    Attributes:
        update_every_s: interval of update messages during an event; 0 for none.
        fusion_weights: weight by member of the bundle, in place of the manifest's.
        classes: replacements by class name.
    """

    update_every_s: Seconds = 0.0
    fusion_weights: dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]] | None = None
    classes: dict[str, ClassOverride] = Field(default_factory=dict)


class RetryConfig(_Strict):
    """When a source that was lost is tried again.

    Attributes:
        first_s: delay before the first attempt; each further one waits twice as long. All are up
            to a quarter shorter or longer by chance.
        most_s: longest delay.
        healthy_s: a source that delivered audio for so long begins with ``first_s`` again.
    """

    first_s: PositiveSeconds = 1.0
    most_s: PositiveSeconds = 15.0
    healthy_s: PositiveSeconds = 30.0


class MetricsConfig(_Strict):
    """The HTTP server with ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz``.

    Attributes:
        bind: ``HOST:PORT``; None for no server.
        insecure: allow an address that other machines reach, though nobody is asked who they are.
    """

    bind: str | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _bind_allowed(self) -> Self:
        if self.bind is not None:
            http_address(self.bind, insecure=self.insecure)
        return self


class ClipsConfig(_Strict):
    """Recordings of the audio around events, in FLAC files.

    Attributes:
        enabled: whether there are any.
        path: their folder; by default ``clips`` in the service's or the user's state directory.
        pre_s: audio before the onset.
        post_s: audio after the offset.
        max_clip_s: length of a clip; a longer event is recorded so far.
        keep_days: age beyond which clips are removed.
        max_mb: size of all (in units of 2^20 bytes) beyond which the oldest are removed.
        classes: those whose events are recorded; null for all.
        sources: those that are recorded; null for all.
    """

    enabled: bool = False
    path: Annotated[Path, AfterValidator(_expanded)] = Field(
        default_factory=lambda: state_directory() / "clips"
    )
    pre_s: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    post_s: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    max_clip_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    keep_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 30.0
    max_mb: Annotated[float, Field(ge=1.0, le=10_000_000.0)] = 1024.0
    classes: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _longer_than_before(self) -> Self:
        if self.max_clip_s <= self.pre_s:
            raise ValueError("max_clip_s must be more than pre_s, or no clip reaches its event")
        return self


class LogConfig(_Strict):
    """What is logged, to standard error; ``auto`` is console on a terminal, else JSON."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Config(_Strict):
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

    bundle: Annotated[Path, AfterValidator(_expanded)] = Path("models/domestic")
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


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or says something that makes no sense.
    """
    content = _read_yaml(path)
    config = parse(content, origin=str(path))
    # Not where it is validated: the command line may name other sources.
    names = [source.name for source in config.sources]
    for name in config.clips.sources or ():
        if name not in names:
            raise ConfigError(f"{path}: clips.sources: no source {name!r}; {suggest(name, names)}")
    return config.model_copy(
        update={
            "bundle": _beside(path, config.bundle),
            "publish": config.publish.beside(path),
            "sources": tuple(
                source.model_copy(update={"path": _beside(path, source.path)})
                if isinstance(source, FileSource)
                else source
                for source in config.sources
            ),
        }
    )


def parse(content: Mapping[str, Any], *, origin: str) -> Config:
    """Validate a configuration; ``origin`` names it in messages.

    Raises:
        ConfigError: it says something that makes no sense.
    """
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        complaint = first_complaint(error, content=content, model=Config)
        raise ConfigError(f"{origin}: {complaint}") from error
    config._origin = origin
    return config


def override(config: Config, changes: Mapping[str, Any], *, origin: str) -> Config:
    """Replace entries by those of the command line.

    Args:
        config: what the file says.
        changes: by top-level key; a mapping replaces single entries of its part.
        origin: names the changes in messages.

    Raises:
        ConfigError: a change makes no sense.
    """
    content = {key: getattr(config, key) for key in config.model_fields_set}
    for key, value in changes.items():
        part = getattr(config, key)
        merged = isinstance(value, dict) and isinstance(part, BaseModel)
        content[key] = part.model_dump(exclude_unset=True) | value if merged else value
    changed = parse(content, origin=origin)
    changed._origin = config.origin
    return changed


def _beside(file: Path, path: Path) -> Path:
    """Resolve a path of a configuration file: beside it if it is there, else as it stands."""
    beside = file.parent / path
    return beside if beside.exists() else path


class _Loader(yaml.SafeLoader):
    """Refuses to read a key twice, where PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # an error in itself, which the base class raises
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)  # noqa: S506 - derives from SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no mapping of keys to values")
    return content
