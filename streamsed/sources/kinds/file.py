"""``type: file``: recordings and playlists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator

from streamsed.sources.entry import SOURCES, SourceEntry, fit_name
from streamsed.sources.file_names import PLAYLIST_SUFFIXES, file_path, is_file_url
from streamsed.sources.protocol import GainedSource


def _path_of_url(path: object) -> object:
    return file_path(path) if isinstance(path, str) else path


class FileSource(SourceEntry):
    """A recording of any rate and any number of channels, or a playlist of such.

    Attributes:
        path: of whatever libsndfile or ffmpeg decodes, of an ``.m3u`` or ``.pls`` file; or a
            ``file:`` URL.
        paced: deliver at real-time speed rather than as fast as it is processed.
    """

    type: Literal["file"] = "file"
    path: Annotated[Path, BeforeValidator(_path_of_url)]
    paced: bool = True

    @classmethod
    def of_argument(cls, spec: str, *, name: str | None) -> Self:
        """Return the recording at a path; what is of no other kind is one."""
        if is_file_url(spec):
            spec = str(file_path(spec))
        if not spec or "\0" in spec:
            raise ValueError("the source is missing; mic, -, pipe:s16le@16000x1, a URL or a path")
        path = Path(spec)
        return cls(name=fit_name(path.stem) if name is None else name, path=path)

    @property
    def in_real_time(self) -> bool:
        """Whether it is delivered at real-time speed."""
        return self.paced

    def for_trial(self) -> Self:
        """Return it without its pace."""
        return self.model_copy(update={"paced": False})

    def beside(self, file: Path) -> Self:
        """Return it with its path beside ``file`` if it is there, else as it stands."""
        beside = file.parent / self.path
        return self.model_copy(update={"path": beside}) if beside.exists() else self


@SOURCES.register(FileSource)
def make_file(config: FileSource) -> GainedSource:
    """Make the reader of a recording or a playlist."""
    # Imported here: a machine that only reads pipes needs no libsndfile, and so on.
    options: dict[str, Any] = {"paced": config.paced, "channel": config.channel}
    if config.path.suffix.lower() in PLAYLIST_SUFFIXES:
        from streamsed.sources.playlist import Playlist  # noqa: PLC0415

        return Playlist(config.name, config.path, **options)
    from streamsed.sources.file import AudioFile  # noqa: PLC0415

    return AudioFile(config.name, config.path, **options)
