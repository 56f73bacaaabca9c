"""The configuration: one model, read from flags, environment, files of secrets, credentials and TOML.

`load` returns settings that hold together, or raises with every problem at once. Nothing here opens a store, a
socket or a sink.
"""

from stibgate.config.changes import changes, needing_restart, restart_only
from stibgate.config.kinds import AnySink
from stibgate.config.kinds import notices as plug_in_notices
from stibgate.config.loading import Loaded, ReloadStatus, load
from stibgate.config.model import (
    DeliverySettings,
    Settings,
    SourceSettings,
    TracingSettings,
)
from stibgate.config.rendering import as_text, json_schema, masked, setting_rows
from stibgate.config.shape import dotted
from stibgate.config.template import template

__all__ = [
    "AnySink",
    "DeliverySettings",
    "Loaded",
    "ReloadStatus",
    "Settings",
    "SourceSettings",
    "TracingSettings",
    "as_text",
    "changes",
    "dotted",
    "json_schema",
    "load",
    "masked",
    "needing_restart",
    "plug_in_notices",
    "restart_only",
    "setting_rows",
    "template",
]
