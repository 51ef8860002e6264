"""What a Spark job is for, in words that Spark's pages and its status tracker show. Imports no Spark: it asks the session that it is given."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

DESCRIPTION = "spark.job.description"
NO_TAG = re.compile(r"[^\w.:-]+")  # a tag of Spark Connect has no comma, and is easier to read without blanks


@contextlib.contextmanager
def described(spark: Any, words: str) -> Iterator[None]:
    """The jobs that the body runs on this thread are described by ``words``; afterwards, what was said of them before holds again.

    spark: a session, or None. Spark Connect describes its jobs itself: there the words are a tag of the operations, which its page shows and
    ``interruptTag`` takes. A session that takes neither runs the body all the same."""
    context = _context(spark)
    if context is not None:
        before = context.getLocalProperty(DESCRIPTION)
        context.setLocalProperty(DESCRIPTION, words)
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # the session may be gone
                context.setLocalProperty(DESCRIPTION, before)
        return
    tag = NO_TAG.sub("-", words)
    with contextlib.suppress(Exception):
        spark.addTag(tag)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            spark.removeTag(tag)


@contextlib.contextmanager
def detailed(spark: Any, words: str) -> Iterator[None]:
    """The same, with ``words`` behind those that hold already; as it is where Spark Connect describes the jobs."""
    context = _context(spark)
    if context is None:
        yield
        return
    with described(spark, ", ".join(filter(None, (context.getLocalProperty(DESCRIPTION), words)))):
        yield


def _context(spark: Any) -> Any:
    """The session's context; None where it has none that tells (Spark Connect, managed platforms)."""
    try:
        context = spark.sparkContext
        context.getLocalProperty(DESCRIPTION)
    except Exception:
        return None
    return context
