"""Source configurations: the ``sources:`` list of the config file and ``--source`` arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streamsed.errors import ConfigError
from streamsed.redaction import disclosed
from streamsed.sources.address import checked, host_of, shown
from streamsed.sources.file_names import PLAYLIST_SUFFIXES, file_path, is_file_url
from streamsed.sources.gain import GainDb, make_gain
from streamsed.sources.mono import Channel
from streamsed.sources.protocol import Source
from streamsed.sources.raw_samples import SampleFormat
from streamsed.validation_messages import mistakes

if TYPE_CHECKING:
    from streamsed.sources.playlist import Playlist
    from streamsed.sources.resampled import ResampledSource

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _fits_topics(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a source, for it stands in topics; up to 64 letters (a to z), "
            "digits and any of _ . - would be right"
        )
    return name


SourceName = Annotated[str, AfterValidator(_fits_topics)]
"""Stands in topics, so without slash or space."""

Patience = Annotated[float, Field(gt=0.0, le=86_400.0)]

PIPE_RATES = (4_000, 192_000)

_NAMED = re.compile(r"(?P<name>[^=/\\]*)=(?P<spec>.*)", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*", re.DOTALL)
_PIPE = re.compile(r"pipe:(?P<format>\w+)@(?P<rate>\d+)(x(?P<channels>\d+))?(?P<live>,live)?")


class _Strict(BaseModel):
    """What all sources have in common.

    Attributes:
        type: the kind of source.
        name: stands in topics, ``event/<name>/<label>/``, so without slash or space; each has its
            own.
        channel: ``mix`` averages all channels; ``left`` is channel 0, ``right`` channel 1, a number
            that channel.
        gain_db: so much louder or softer; ``auto`` makes it slowly louder, by up to 40 dB, while it
            is quiet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Returning(_Strict):
    """A source that may be lost, and come back.

    Attributes:
        required: it has to be there when the daemon starts; otherwise it may come later.
        reconnect: open it again when it is lost or stalls.
        silence_s: so long nothing but zeros, and its state is ``silent``; None for never.
    """

    required: bool = False
    reconnect: bool = True
    silence_s: Patience | None = 60.0


def _path_of_url(path: object) -> object:
    return file_path(path) if isinstance(path, str) else path


class FileSource(_Strict):
    """A recording of any rate and any number of channels, or a playlist of such.

    Attributes:
        path: of whatever libsndfile or ffmpeg decodes, of an ``.m3u`` or ``.pls`` file; or a
            ``file:`` URL.
        paced: deliver at real-time speed rather than as fast as it is processed.
    """

    type: Literal["file"] = "file"
    name: SourceName
    path: Annotated[Path, BeforeValidator(_path_of_url)]
    paced: bool = True
    channel: Channel = "mix"
    gain_db: GainDb = 0.0


class MicrophoneSource(_Returning):
    """An input of the sound system.

    Attributes:
        device: index, stable id or part of the name, as ``streamsed devices`` lists them; None is
            the system's default input.
        stall_s: it stalls when nothing comes for so long, not even zeros.
    """

    type: Literal["microphone"] = "microphone"
    name: SourceName
    device: str | Annotated[int, Field(ge=0)] | None = None
    stall_s: Patience = 5.0
    channel: Channel = "mix"
    gain_db: GainDb = 0.0


class PipeSource(_Strict):
    """Raw interleaved samples on standard input.

    Attributes:
        rate: Hz. It cannot be seen in raw samples: a wrong one is not noticed.
        channels: interleaved in each frame.
        format: by ffmpeg's names, such as ``s16le`` (16-bit integers) or ``f32le`` (32-bit
            floats, full scale 1).
        live: the writer cannot wait: when detection cannot keep up, drop the oldest audio rather
            than hold the writer up.
        stall_s: it stalls when nothing comes for so long: events end, and what comes later is a
            stream of its own. None for never.
        silence_s: so long nothing but zeros, and its state is ``silent``; None for never.
    """

    type: Literal["pipe"] = "pipe"
    name: SourceName
    rate: Annotated[int, Field(ge=PIPE_RATES[0], le=PIPE_RATES[1])] = 16_000
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    format: SampleFormat = "s16le"
    live: bool = False
    stall_s: Patience | None = None
    silence_s: Patience | None = None
    channel: Channel = "mix"
    gain_db: GainDb = 0.0


class UrlSource(_Returning):
    """A stream from the network, or any container that ffmpeg reads there.

    Attributes:
        url: address of the stream: rtsp, rtsps, http, https and more; may hold a password.
        stall_s: it stalls when nothing comes for so long.
        ffmpeg: the program to use, in place of the system's or the wheel's.
        tls_verify: refuse a server whose certificate no known authority signed; false for a camera
            that has made its own.
        ffmpeg_options: more options for ffmpeg's input, such as ``[-headers, "X-Key: 1"]``.
    """

    type: Literal["url"] = "url"
    name: SourceName
    url: Annotated[str, AfterValidator(checked)]
    stall_s: Patience = 10.0
    tls_verify: bool = True
    ffmpeg: Path | None = None
    ffmpeg_options: tuple[str, ...] = ()
    channel: Channel = "mix"
    gain_db: GainDb = 0.0

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Return what may be shown of it: it may stand in a traceback."""
        for name, value in super().__repr_args__():
            yield name, disclosed(value, key=name or "")


AnySource = FileSource | MicrophoneSource | PipeSource | UrlSource
SourceConfig = Annotated[AnySource, Field(discriminator="type")]
_KINDS = {kind.__name__: kind for kind in get_args(AnySource)}


def build_source(config: AnySource) -> Source:
    """Make the source that a configuration describes; nothing is opened yet.

    Raises:
        SourceError: this machine lacks a program for it.
    """
    source = _without_gain(config)
    source.gain = make_gain(config.gain_db)
    return source


def _without_gain(config: AnySource) -> ResampledSource | Playlist:
    # Imported here: a machine that only reads pipes needs no libsndfile, and so on.
    match config:
        case FileSource() if config.path.suffix.lower() in PLAYLIST_SUFFIXES:
            from streamsed.sources.playlist import Playlist  # noqa: PLC0415

            return Playlist(config.name, config.path, paced=config.paced, channel=config.channel)
        case FileSource():
            from streamsed.sources.file import AudioFile  # noqa: PLC0415

            return AudioFile(config.name, config.path, paced=config.paced, channel=config.channel)
        case MicrophoneSource():
            from streamsed.sources.isolated_microphone import IsolatedMicrophone  # noqa: PLC0415

            return IsolatedMicrophone(config.name, device=config.device, channel=config.channel)
        case PipeSource():
            from streamsed.sources.pipe import Pipe  # noqa: PLC0415

            return Pipe(
                config.name,
                rate=config.rate,
                channels=config.channels,
                sample_format=config.format,
                live=config.live,
                channel=config.channel,
            )
        case UrlSource():
            from streamsed.sources.url import Url  # noqa: PLC0415

            return Url(
                config.name,
                config.url,
                channel=config.channel,
                stall_s=config.stall_s,
                tls_verify=config.tls_verify,
                ffmpeg=config.ffmpeg,
                options=config.ffmpeg_options,
            )


def parse_source(text: str) -> AnySource:
    """Read one ``--source`` argument.

    It is written in one of these forms::

        [NAME=]mic[:DEVICE]                        a microphone: index, stable id, part of its name
        [NAME=]-                                   standard input, s16le at 16000 Hz, mono
        [NAME=]pipe:FORMAT@RATE[xCHANNELS][,live]  standard input; FORMAT as ffmpeg calls it
        [NAME=]SCHEME://...                        a stream from the network, through ffmpeg
        [NAME=]PATH                                a recording or a playlist, at real-time speed
        [NAME=]file:///PATH                        the same

    A path that contains ``=``, or looks like another form, is written ``./PATH``.

    Without ``NAME=`` a microphone is called ``mic``, standard input ``stdin``, a stream like its
    host, and a recording like its file without folder and extension. What is asked for by hand
    has to be there at the start (``required``); what a configuration file names may come later.

    Raises:
        ConfigError: it has none of the forms, or a value in it is out of range.
    """
    named = _NAMED.fullmatch(text)
    name, spec = (named["name"], named["spec"]) if named else (None, text)
    where = f"--source {(shown(text) if '://' in text else text)!r}"
    try:
        return _parse_spec(name, spec)
    except ValidationError as error:
        raise ConfigError(
            *(f"{where}: {mistake}" for mistake in mistakes(error, model=_KINDS[error.title]))
        ) from error
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _parse_spec(name: str | None, spec: str) -> AnySource:
    if spec == "mic" or spec.startswith("mic:"):
        device = spec.removeprefix("mic").removeprefix(":") or None
        if spec == "mic:":
            raise ValueError("the device is missing; mic:DEVICE or mic would be right")
        return MicrophoneSource(
            name="mic" if name is None else name,
            device=int(device) if device is not None and device.isdecimal() else device,
            required=True,
        )
    if spec == "-":
        return PipeSource(name="stdin" if name is None else name)
    if spec == "pipe" or spec.startswith("pipe:"):
        if found := _PIPE.fullmatch(spec):
            return PipeSource.model_validate(
                {
                    "name": "stdin" if name is None else name,
                    "format": found["format"],
                    "rate": int(found["rate"]),
                    "channels": int(found["channels"] or 1),
                    "live": found["live"] is not None,
                }
            )
        raise ValueError("a pipe is written like pipe:s16le@16000x1")
    if is_file_url(spec):
        spec = str(file_path(spec))
    elif _URL.fullmatch(spec):
        name = _sound_name(host_of(spec)) if name is None else name
        return UrlSource(name=name, url=spec, required=True)
    if not spec or "\0" in spec:
        raise ValueError("the source is missing; mic, -, pipe:s16le@16000x1, a URL or a path")
    path = Path(spec)
    return FileSource(name=_sound_name(path.stem) if name is None else name, path=path)


def _sound_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:64] or "source"
