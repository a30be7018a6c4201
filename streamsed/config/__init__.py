"""The configuration: the keys of ``config.yaml``, in parts, and how it is read."""

from streamsed.config.config import Config, Provider
from streamsed.config.detecting import ClassOverride, DetectConfig, RetryConfig
from streamsed.config.publishing import CurveConfig, JournalConfig, PublishConfig
from streamsed.config.reading import override, parse_config, read_config
from streamsed.config.watching import ClipsConfig, LogConfig, MetricsConfig, WebConfig

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
    "WebConfig",
    "override",
    "parse_config",
    "read_config",
]
