"""Structured logs: one JSON object a line, with run_id and stage, beside the words on the terminal.

The caller's own logging is left alone: loggers of this module carry their processors with them."""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

import structlog

from synalign_spark.scrubbing import HIDDEN, scrub

_SECRET_KEY = re.compile(r"(api_?key|authorization|password|secret)", re.IGNORECASE)
_file: ContextVar[TextIO | None] = ContextVar("synalign_log_file", default=None)


def _scrub_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: HIDDEN if _SECRET_KEY.search(key) and key != "api_key_env" else scrub(value) for key, value in event.items()}


_PROCESSORS = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _scrub_event,
    structlog.processors.JSONRenderer(default=str),
)


@contextlib.contextmanager
def logging_to(path: str | None) -> Iterator[None]:
    """Loggers that are got within the body write to the file ``path`` (a local path, appended); None is as outside of it."""
    if path is None:
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        before = _file.set(file)
        try:
            yield
        finally:
            _file.reset(before)


def get_logger(**bound: Any) -> Any:
    """A logger with the given fields on every line.

    Outside of ``logging_to`` it writes to standard error, or nowhere where that is a terminal: there the same is said in words."""
    sink = _file.get() or (_Nowhere() if sys.stderr.isatty() else sys.stderr)
    return structlog.wrap_logger(
        structlog.WriteLogger(sink),  # type: ignore[arg-type]
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        context_class=dict,
        cache_logger_on_first_use=False,
        **bound,
    )


class _Nowhere:
    """As much of a file as a logger needs."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass
