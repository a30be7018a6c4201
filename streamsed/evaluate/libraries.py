"""The field's libraries: their versions, labels that they take, their forms, their warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import pandas as pd
from sed_scores_eval.base_modules.scores import create_score_dataframe

from streamsed import __version__
from streamsed.evaluate.data import ScoreTable


def computed_by(distribution: str) -> str:
    """Return name and version of an installed library, such as ``psds_eval 0.5.3``."""
    return f"{distribution} {version(distribution)}"


def values_of(distribution: str) -> str:
    """Return that we compute what an installed library would, such as ``psds_eval 0.5.3``."""
    return f"streamsed {__version__}, with the values of {computed_by(distribution)}"


def plain_labels(classes: Sequence[str]) -> dict[str, str]:
    """Return a name for each class that the libraries leave as it is; in the same order.

    sed_eval takes ``None`` for nothing and cuts tags at commas; sed_scores_eval refuses a
    backslash, and has its mean under ``macro_average`` among the classes.
    """
    return {name: f"class {index:06}" for index, name in enumerate(classes)}


@contextmanager
def without_library_warnings() -> Iterator[None]:
    """Silence psds_eval and sed_eval: old calls into numpy and pandas, and 0 / 0 of empty classes.

    psds_eval also warns of thresholds that find the same events; they are one point on the curve.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(psds_eval|sed_eval|sed_scores_eval|dcase_util)")
        # psds_eval again, by way of numpy: the deviation of a class alone.
        warnings.filterwarnings("ignore", "Degrees of freedom|Mean of empty slice", RuntimeWarning)
        yield


def library_scores(
    scores: Mapping[str, ScoreTable], classes: Sequence[str], plain: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Return the columns of some classes of all scores as sed_scores_eval's tables.

    Args:
        scores: by recording.
        classes: the columns of the scores.
        plain: what the chosen classes are to be called.
    """
    columns = [list(classes).index(name) for name in plain]
    labels = list(plain.values())
    return {
        name: create_score_dataframe(table.scores[:, columns], table.edges_s, labels)
        for name, table in scores.items()
    }


def library_truth(
    truth: pd.DataFrame, recordings: Sequence[str], plain: Mapping[str, str]
) -> dict[str, list[tuple[float, float, str]]]:
    """Return an event table by recording, as sed_scores_eval takes it."""
    events: dict[str, list[tuple[float, float, str]]] = {name: [] for name in recordings}
    for row in truth.itertuples(index=False):
        events[row.filename].append((row.onset, row.offset, plain[row.event_label]))
    return events
