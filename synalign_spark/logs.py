"""Structured logs: one JSON object a line, with run_id and stage, beside the words on the terminal."""

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

_SECRET_KEY = re.compile(r"(api_?key|authorization|password|secret)", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\b(sk|key)-[A-Za-z0-9_-]{8,}|Bearer\s+\S+")
HIDDEN = "[hidden]"


def scrub(value: Any) -> Any:
    """Text without anything that looks like a key; other values as they are."""
    return _SECRET_VALUE.sub(HIDDEN, value) if isinstance(value, str) else value


def _scrub_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: HIDDEN if _SECRET_KEY.search(key) and key != "api_key_env" else scrub(value) for key, value in event.items()}


def configure(path: str | None) -> None:
    """Sends structured logs to the file ``path`` (a local path, appended), or to standard error as JSON when None
    and standard error is no terminal; on a terminal they are dropped, since the terminal shows the same in words."""
    sink: TextIO
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sink = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - lives as long as the process
    else:
        sink = open(os.devnull, "w", encoding="utf-8") if sys.stderr.isatty() else sys.stderr  # noqa: SIM115
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _scrub_event,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sink),
        cache_logger_on_first_use=False,
    )


def get_logger(**bound: Any) -> Any:
    """A logger with the given fields on every line."""
    return structlog.get_logger(**bound)
