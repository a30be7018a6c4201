"""The configuration: what ``config.yaml`` may say, in parts, and how it is read."""

from streamsed.config.config import Config, Provider
from streamsed.config.detecting import ClassOverride, DetectConfig, RetryConfig
from streamsed.config.publishing import CurveConfig, JournalConfig, PublishConfig
from streamsed.config.reading import load, override, parse
from streamsed.config.watching import ClipsConfig, LogConfig, MetricsConfig

__all__ = [
    "ClassOverride",
    "ClipsConfig",
    "Config",
    "CurveConfig",
    "DetectConfig",
    "JournalConfig",
    "LogConfig",
    "MetricsConfig",
    "Provider",
    "PublishConfig",
    "RetryConfig",
    "load",
    "override",
    "parse",
]
