"""Render ``kitchen.ogg`` and its ground truth ``kitchen.tsv``: a minute and a half in a kitchen.

Nothing in it was recorded: machines and alarms come from ``train.synthesis``, voices from
espeak-ng, the rest from formulas in ``kitchen_sounds.py``, all in one simulated room::

    pip install -e '.[train]' && python -m examples.make_kitchen    # needs espeak-ng
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyroomacoustics
import soundfile

from examples.kitchen_sounds import (
    RATE,
    Signal,
    Sound,
    cat,
    dishes,
    dog,
    frying,
    running_water,
    speech,
    synthetic,
)
from train.data.activity import active_intervals
from train.data.events import Event, merge, write_tsv
from train.data.soundscape_config import SoundscapeConfig
from train.synthesis.beeps import beeps
from train.synthesis.bells import struck_bells
from train.synthesis.motors import blender, shaver_or_toothbrush, vacuum_cleaner
from train.synthesis.oscillators import shaped_noise

DURATION_S = 90.0
ROOM_M = (4.6, 3.8, 2.6)
MICROPHONE_M = (2.2, 1.3, 1.1)
PLACES_M = {
    "table": (3.3, 2.2, 1.2),
    "stove": (0.6, 3.2, 1.0),
    "sink": (1.8, 3.4, 1.0),
    "shelf": (4.2, 3.3, 1.8),
    "floor": (3.0, 0.7, 0.4),
    "door": (4.3, 0.6, 1.5),
}
BACKGROUND_DBFS = -66.0


@dataclass(frozen=True)
class Part:
    """A sound in the scene: when it starts, how loud it is where it sounds, and where it stands."""

    label: str
    at_s: float
    level_dbfs: float
    place: str
    sound: Sound


shaver = partial(synthetic, shaver_or_toothbrush)
she = partial(speech, voice="en-gb+f2")
he = partial(speech, voice="en-us+m3", pitch=40)
SCENE = (
    Part("Speech", 1.5, -27, "table", she("Good morning. Did you sleep well?")),
    Part("Speech", 5.2, -28, "door", he("Yes, thank you. I will do the dishes first.")),
    Part("Dishes", 9.2, -29, "sink", dishes(4.5)),
    Part("Running_water", 15.5, -31, "sink", running_water(7.0)),
    Part("Dishes", 18.0, -27, "sink", dishes(3.0)),
    Part("Cat", 24.5, -28, "floor", cat()),
    Part("Cat", 26.7, -29, "floor", cat(pitch_hz=610, duration_s=0.7)),
    Part("Speech", 28.8, -28, "table", she("The cat is hungry again.")),
    Part("Blender", 32.5, -22, "shelf", synthetic(blender, 5.0, draw=1)),
    Part("Frying", 39.5, -33, "stove", frying(11.0)),
    Part("Speech", 43.0, -28, "table", he("Shall I turn the heat down a little?")),
    Part("Alarm_bell_ringing", 52.0, -28, "stove", synthetic(beeps, 4.0, draw=19)),
    Part("Alarm_bell_ringing", 57.5, -28, "door", synthetic(struck_bells, 2.0, draw=14)),
    Part("Dog", 60.5, -26, "floor", dog(3, gap_s=0.7)),
    Part("Vacuum_cleaner", 64.5, -25, "floor", synthetic(vacuum_cleaner, 9.0, draw=0)),
    Part("Electric_shaver_toothbrush", 75.5, -30, "door", shaver(7.0, draw=0)),
    Part("Speech", 84.5, -28, "door", she("I am ready. Let us go for a walk.")),
)


def responses() -> dict[str, Signal]:
    """Impulse responses from every place to the microphone, from the direct sound on."""
    absorption, order = pyroomacoustics.inverse_sabine(0.35, ROOM_M)
    room = pyroomacoustics.ShoeBox(
        ROOM_M, fs=RATE, materials=pyroomacoustics.Material(absorption), max_order=min(order, 20)
    )
    room.add_microphone(MICROPHONE_M)
    for place in PLACES_M.values():
        room.add_source(place)
    room.compute_rir()
    found = {}
    for name, response in zip(PLACES_M, room.rir[0], strict=True):
        direct = int(np.argmax(np.abs(response)))
        found[name] = (response[max(direct - 40, 0) :] / response[direct]).astype(np.float32)
    return found


def render(seed: int = 2) -> tuple[Signal, tuple[Event, ...]]:
    """Mix the scene; its events are where the dry sounds are active, by the rules of training."""
    rng = np.random.default_rng(seed)
    plans = SoundscapeConfig().plans
    rooms = responses()
    n = round(DURATION_S * RATE)
    audio = shaped_noise(
        rng,
        n,
        points_hz=[30, 100, 500, 2000, 8000, 20000],
        gains_db=[0, -2, -12, -20, -28, -36],
        sample_rate=RATE,
    ) * np.float32(10 ** (BACKGROUND_DBFS / 20))
    events = []
    for index, part in enumerate(SCENE):
        dry = part.sound(np.random.default_rng([seed, index]))
        active = active_intervals(dry, plans[part.label].activity, sample_rate=RATE)
        wet = np.convolve(dry, rooms[part.place]).astype(np.float32)
        sounding = np.concatenate([wet[a:b] for a, b in active])
        wet *= np.float32(10 ** (part.level_dbfs / 20)) / np.sqrt(np.mean(np.square(sounding)))
        start = round(part.at_s * RATE)
        audio[start : start + len(wet)] += wet[: n - start]
        events += [Event(part.label, part.at_s + a / RATE, part.at_s + b / RATE) for a, b in active]
    pauses = {label: spec.merge_pause_s for label, spec in plans.items()}
    return audio, merge(events, pause_s=pauses)


def main() -> None:
    """Write the recording and its ground truth beside this file."""
    audio, events = render()
    folder = Path(__file__).parent
    with soundfile.SoundFile(
        folder / "kitchen.ogg", "w", RATE, 1, format="OGG", subtype="VORBIS", compression_level=0.2
    ) as file:
        for block in np.array_split(audio, 100):  # libsndfile overflows its stack on one long write
            file.write(block)
    write_tsv(folder / "kitchen.tsv", {"kitchen.ogg": events})


if __name__ == "__main__":
    main()
