"""The engine: batching, states, self-test, providers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed import bundle
from streamsed.bundle import Bundle
from streamsed.detect.engine import Engine
from streamsed.detect.states import DeviceStates
from streamsed.errors import BundleError, ProviderError
from tests.bundles import ToneMember, make_bundle, run_graph
from tests.detect.run import Array

STEPS = 10


def _streams(count: int, chunk_samples: int) -> Array:
    """``(count, STEPS, chunk_samples)`` of noise at levels that move the scores about."""
    noise = np.random.default_rng(3).standard_normal((count, STEPS, chunk_samples))
    return (0.4 * noise).astype(np.float32)


def _alone(bundle_: Bundle, member: str, audio: Array) -> list[Array]:
    states = {
        state.name: state.shape
        for entry in bundle_.manifest.members
        if entry.name == member
        for state in entry.states
    }
    return run_graph(bundle_.graphs[member], states, audio)


@settings(deadline=None, max_examples=30)
@given(
    ready=st.lists(st.sets(st.integers(0, 10), min_size=1), min_size=STEPS, max_size=40),
    max_batch=st.integers(1, 5),
)
def test_a_stream_does_not_depend_on_its_batch(
    tone_bundle: Bundle, ready: list[set[int]], max_batch: int
) -> None:
    engine = Engine(tone_bundle, provider="cpu", max_batch=max_batch)
    streams = _streams(11, tone_bundle.manifest.chunk_samples)
    slots = [engine.open() for _ in range(11)]
    assert slots == list(range(11))
    scored: list[list[Array]] = [[] for _ in slots]
    for chosen in [*ready, *[set(slots)] * STEPS]:
        waiting = [slot for slot in chosen if len(scored[slot]) < STEPS]
        while waiting:
            batch = engine.batch(waiting)
            assert waiting[0] in batch
            assert len(batch) == min(len(waiting), max_batch)
            for row, slot in enumerate(batch):
                engine.chunks[row] = streams[slot, len(scored[slot])]
            engine.step(batch)
            for row, slot in enumerate(batch):
                scored[slot].append(engine.scores("tones")[row].copy())
            waiting = [slot for slot in waiting if slot not in batch]
    for slot in slots:
        np.testing.assert_array_equal(scored[slot], _alone(tone_bundle, "tones", streams[slot])[0])


def test_slots_begin_in_the_initial_state_and_are_used_again(tone_bundle: Bundle) -> None:
    engine = Engine(tone_bundle, provider="cpu", max_batch=2)
    audio = _streams(1, tone_bundle.manifest.chunk_samples)[0]
    slots = [engine.open() for _ in range(3)]

    def scores(slot: int) -> list[Array]:
        found = []
        for chunk in audio:
            engine.chunks[0] = chunk
            engine.step([slot])
            found.append(engine.scores("tones")[0].copy())
        return found

    first = scores(slots[1])
    engine.close(slots[1])
    assert engine.open() == slots[1]
    np.testing.assert_array_equal(scores(slots[1]), first)
    engine.reset(slots[1])
    np.testing.assert_array_equal(scores(slots[1]), first)


def test_every_member_gives_scores_and_tags(tmp_path: Path) -> None:
    members = (
        ToneMember(name="plain"),
        ToneMember(name="tagging", tags=True, latency_frames=3, sharpness=1.0),
    )
    loaded = bundle.load(make_bundle(tmp_path, members=members))
    engine = Engine(loaded, provider="cpu")
    assert engine.report.members == ("plain", "tagging")
    assert engine.tags("plain") is None
    audio = _streams(2, loaded.manifest.chunk_samples)
    slots = [engine.open(), engine.open()]
    for step in range(STEPS):
        engine.chunks[:2] = audio[:, step]
        engine.step(slots)
        for row in slots:
            plain = _alone(loaded, "plain", audio[row, : step + 1])
            scores, tags = _alone(loaded, "tagging", audio[row, : step + 1])
            found = engine.tags("tagging")
            assert found is not None
            np.testing.assert_array_equal(engine.scores("plain")[row], plain[0][-1])
            np.testing.assert_array_equal(engine.scores("tagging")[row], scores[-1])
            np.testing.assert_array_equal(found[row], tags[-1])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=12))
def test_device_states_equal_streams_alone(tone_bundle: Bundle, ready: list[set[int]]) -> None:
    """The same code that keeps states on a GPU, over buffers of onnxruntime's on the CPU."""
    manifest = tone_bundle.manifest
    member = manifest.members[0]
    session = ort.InferenceSession(
        tone_bundle.graphs[member.name], providers=["CPUExecutionProvider"]
    )
    rows = 4
    chunks = np.zeros((rows, manifest.chunk_samples), np.float32)
    scores = np.zeros((rows, manifest.frames_per_chunk, len(manifest.classes)), np.float32)
    states = DeviceStates(session, member, chunks=chunks, scores=scores, device="cpu")
    states.grow(2 * rows)
    streams = np.random.default_rng(0).standard_normal((rows, len(ready), manifest.chunk_samples))
    audio = (0.4 * streams).astype(np.float32)
    scored: list[list[Array]] = [[] for _ in range(rows)]
    for row in range(rows):
        states.reset(rows + row)
    for chosen in ready:
        batch = sorted(chosen)
        for row, stream in enumerate(batch):
            chunks[row] = audio[stream, len(scored[stream])]
        states.step([rows + stream for stream in batch])
        for row, stream in enumerate(batch):
            scored[stream].append(scores[row].copy())
    for stream, found in enumerate(scored):
        if found:
            alone = _alone(tone_bundle, member.name, audio[stream, : len(found)])[0]
            np.testing.assert_array_equal(found, alone)


def test_a_batch_that_changes_scores_is_not_used(tmp_path: Path) -> None:
    # Nine elements a stream: the last one falls out of onnxruntime's vectors of four.
    member = ToneMember(logarithm=True, sharpness=1.0)
    loaded = bundle.load(make_bundle(tmp_path, members=(member,), chunk_samples=768))
    report = Engine(loaded, provider="cpu", max_batch=32).report
    assert report.requested_batch == 32
    assert report.max_batch == 1


def test_the_report_says_what_runs(tone_bundle: Bundle) -> None:
    report = Engine(tone_bundle, provider="cpu", threads=1, max_batch=8).report
    assert report.provider == "CPUExecutionProvider"
    assert report.device == "cpu"
    assert report.requested == "cpu"
    assert report.fallback is None
    assert (report.threads, report.max_batch, report.requested_batch) == (1, 8, 8)
    assert report.onnxruntime == ort.__version__


def test_a_wrong_selftest_is_an_error(tone_bundle: Bundle) -> None:
    scores = tone_bundle.selftest.scores["tones"] + np.float32(2e-4)
    wrong = replace(tone_bundle, selftest=replace(tone_bundle.selftest, scores={"tones": scores}))
    with pytest.raises(BundleError, match=r"tones\.onnx .* 0\.0002"):
        Engine(wrong, provider="cpu")


def test_a_cpu_is_no_gpu(tone_bundle: Bundle) -> None:
    with pytest.raises(ProviderError, match="require_gpu contradicts provider cpu"):
        Engine(tone_bundle, provider="cpu", require_gpu=True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose onnxruntime may know CUDA, but which has no driver."""

    def missing(name: str) -> object:
        raise OSError(name)

    monkeypatch.setattr("streamsed.detect.sessions.ctypes.CDLL", missing)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("provider", ["cuda", "auto"])
def test_a_required_gpu_that_is_missing_is_an_error(tone_bundle: Bundle, provider: str) -> None:
    with pytest.raises(ProviderError, match="a GPU is required") as caught:
        Engine(tone_bundle, provider=provider, require_gpu=True)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("provider", ["cuda", "auto"])
def test_a_fallback_is_reported(
    tone_bundle: Bundle, provider: str, capfd: pytest.CaptureFixture[str]
) -> None:
    report = Engine(tone_bundle, provider=provider).report  # type: ignore[arg-type]
    assert report.requested == provider
    assert report.provider == "CPUExecutionProvider"
    assert report.fallback
    assert capfd.readouterr() == ("", "")


def test_cuda_that_does_not_start_is_not_believed(
    tone_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A driver that sees a GPU, and an onnxruntime that falls back without a word."""
    if _cuda_starts(tone_bundle):
        pytest.skip("CUDA does start here")
    monkeypatch.setattr("streamsed.detect.sessions._cuda_obstacle", lambda: None)
    capfd.readouterr()
    report = Engine(tone_bundle, provider="cuda").report
    assert report.provider == "CPUExecutionProvider"
    assert "could not start CUDA" in (report.fallback or "")
    with pytest.raises(ProviderError, match="could not start CUDA"):
        Engine(tone_bundle, provider="cuda", require_gpu=True)
    assert capfd.readouterr() == ("", "")


def _cuda_starts(tone_bundle: Bundle) -> bool:
    return Engine(tone_bundle, provider="auto").report.device == "cuda"


@pytest.mark.parametrize("values", [{"threads": 0}, {"max_batch": 0}])
def test_nonsense_is_refused(tone_bundle: Bundle, values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Engine(tone_bundle, provider="cpu", **values)  # type: ignore[arg-type]
