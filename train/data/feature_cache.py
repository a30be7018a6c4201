"""Features computed once: one growing file that is mapped into memory, and an index of it.

::

    <folder>/<key of the extractor>-<samples of a crop>/
        config.json      what was computed
        features.f32     rows of float32, clip after clip
        index.jsonl      a line a clip: its file, what the file was, where its rows are

A line is written only when its rows are on disk, so a kill at any moment costs the clips since.
A clip whose file has another size or time of change is computed again; another config of the
features, or another length to which clips are padded, is another folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from train.data.audio import read_audio
from train.data.clips import Clip
from train.data.inputs import FeatureExtractor, Signal, padded
from train.data.labels import LabelGrid
from train.writing import writing

_CHUNK = 32  # clips between two lines to the disk


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a clip's features are, and of what file they were computed."""

    size: int
    changed_ns: int
    samples: int
    first: int
    rows: int


class FeatureCache:
    """Features of clips of any sets, as inputs ``(T, F)`` of models.

    Clips shorter than the grid's are padded with silence before their features are computed, as
    they would be without a cache. Of longer ones the features of the whole clip are kept and
    crops cut out of these: their first and last frames then know the audio beyond the crop.

    Args:
        folder: of caches; may be shared by runs, at once as well.
        extractor: of the features.
        grid: of the labels; its frames must be whole hops.
    """

    def __init__(self, folder: Path, extractor: FeatureExtractor, grid: LabelGrid) -> None:
        if grid.frame_samples % extractor.hop_samples or grid.sample_rate != extractor.sample_rate:
            raise ValueError(
                f"label frames of {grid.frame_samples} samples at {grid.sample_rate} Hz; must be a "
                f"multiple of {extractor.hop_samples} samples at {extractor.sample_rate} Hz"
            )
        self.folder = folder / f"{extractor.key}-{grid.samples}"
        self.extractor = extractor
        self._grid = grid
        # One crop's shape, found by asking.
        self._shape = self._features(np.zeros(grid.samples, np.float32)).shape
        self._index: dict[str, _Entry] = {}
        self._rows = 0
        self._map: NDArray[np.float32] | None = None
        self._load()

    @property
    def grid(self) -> LabelGrid:
        """The labels' grid."""
        return self._grid

    def add(
        self,
        clips: Sequence[Clip],
        *,
        threads: int = 2,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Compute the features that are not there or no longer right; call it before training.

        Processes that ask at the same time wait for each other, and the later find all done.

        Args:
            clips: of one or several sets.
            threads: that read files while features are computed.
            progress: called with the number of clips done, those found first.

        Returns:
            How many clips were computed.

        Raises:
            DataError: a file cannot be decoded.
            DiskFull: there is no space left; what was computed before is kept.
        """
        report = progress or (lambda _: None)
        with writing(self.folder), self._locked():
            self._load()
            todo = [clip for clip in clips if not self._is_fresh(clip)]
            report(len(clips) - len(todo))
            with ThreadPoolExecutor(threads) as readers, self._data.open("r+b") as data:
                data.truncate(self._rows * self._row_bytes)
                data.seek(0, os.SEEK_END)
                for first in range(0, len(todo), _CHUNK):
                    chunk = todo[first : first + _CHUNK]
                    before = [self._identity(clip) for clip in chunk]
                    audio = readers.map(self._read, chunk)
                    self._append(data, zip(chunk, before, audio, strict=True))
                    report(len(chunk))
        return len(todo)

    def samples(self, clip: Clip) -> int:
        """Samples of the whole clip."""
        return self._entry(clip).samples

    def read(self, clip: Clip, *, first_frame: int) -> NDArray[np.float32]:
        """Copy a crop's features ``(T, F)`` float32.

        Raises:
            DataError: the clip was not added, or has no such frames.
        """
        entry = self._entry(clip)
        hops = first_frame * self._grid.frame_samples // self.extractor.hop_samples
        if not 0 <= hops <= entry.rows - self._shape[0]:
            raise DataError(
                f"{clip.path}: {entry.rows} feature frames; {self._shape[0]} from {hops} on are "
                "more than it has"
            )
        if self._map is None:
            self._map = np.memmap(self._data, np.float32, "r", shape=(self._rows, self._shape[1]))
        first = entry.first + hops
        return np.array(self._map[first : first + self._shape[0]])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file behind: each process maps it itself."""
        return self.__dict__ | {"_map": None}

    @property
    def _data(self) -> Path:
        return self.folder / "features.f32"

    @property
    def _row_bytes(self) -> int:
        return 4 * int(self._shape[1])

    def _features(self, audio: Signal) -> NDArray[np.float32]:
        features = np.asarray(self.extractor.compute(audio), dtype=np.float32)
        if features.ndim != 2:
            raise ValueError(f"features have shape {features.shape}; must be (T, F)")
        return features

    def _read(self, clip: Clip) -> Signal:
        return read_audio(clip.path, sample_rate=self._grid.sample_rate)

    def _append(self, data: Any, chunk: Iterator[tuple[Clip, tuple[int, int], Signal]]) -> None:
        lines, entries = [], {}
        for clip, (size, changed_ns), audio in chunk:
            features = self._features(padded(audio, self._grid.samples))
            if features.shape[1] != self._shape[1] or len(features) < self._shape[0]:
                raise ValueError(f"features {features.shape} of {clip.path}; must be {self._shape}")
            data.write(np.ascontiguousarray(features).tobytes())
            entry = _Entry(size, changed_ns, len(audio), self._rows, len(features))
            self._rows += len(features)
            entries[_name(clip)] = entry
            fields = [getattr(entry, name) for name in _Entry.__slots__]
            lines.append(json.dumps([_name(clip), *fields]) + "\n")
        data.flush()
        os.fsync(data.fileno())
        with (self.folder / "index.jsonl").open("a", encoding="utf-8") as index:
            index.write("".join(lines))
        self._index |= entries
        self._map = None

    def _load(self) -> None:
        """Read the index as far as its lines are whole and the rows they name are there."""
        self._index, self._rows, self._map = {}, 0, None
        path, whole = self.folder / "index.jsonl", 0
        stored = self._data.stat().st_size // self._row_bytes if self._data.exists() else 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            try:
                name, *numbers = json.loads(line)
                entry = _Entry(*map(int, numbers))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n") or entry.first + entry.rows > stored:
                break
            whole += len(line)
            self._index[str(name)] = entry
            self._rows = max(self._rows, entry.first + entry.rows)
        self._whole_bytes = whole

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Make the folder and keep other processes from adding; a kill frees it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            config = self.folder / "config.json"
            config.write_text(json.dumps(self.extractor.description, indent=1), encoding="utf-8")
            self._data.touch()
            self._load()
            index = self.folder / "index.jsonl"
            index.touch()
            os.truncate(index, self._whole_bytes)
            yield

    def _is_fresh(self, clip: Clip) -> bool:
        entry = self._index.get(_name(clip))
        if entry is None:
            return False
        return self._identity(clip) == (entry.size, entry.changed_ns)

    def _identity(self, clip: Clip) -> tuple[int, int]:
        try:
            status = clip.path.stat()
        except OSError as error:
            raise DataError(f"{clip.path}: cannot be read: {error.strerror}") from error
        return status.st_size, status.st_mtime_ns

    def _entry(self, clip: Clip) -> _Entry:
        entry = self._index.get(_name(clip))
        if entry is None:
            raise DataError(f"{clip.path}: is not in {self.folder}; it must be added first")
        return entry


def _name(clip: Clip) -> str:
    return str(clip.path.resolve())
