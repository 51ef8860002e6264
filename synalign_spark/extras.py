"""The packages that this one does without until a function needs them, by the extra of setup.py that brings them."""

import contextlib
from collections.abc import Iterator

from synalign_spark.errors import InstallationError

EXTRA_OF = {
    "pyspark": "spark",
    "delta": "delta",
    "deltalake": "delta",
    "torch": "embed",
    "sentence_transformers": "embed",
    "transformers": "embed",
    "psutil": "embed",
    "ray": "llm",
    "openai": "llm",
    "httpx2": "llm",
    "aiohttp": "llm",
    "openlineage": "lineage",
}


def missing_extra(err: BaseException) -> InstallationError | None:
    """What to install where an import failed for want of an extra; None for any other fault.

    >>> missing_extra(ModuleNotFoundError("No module named 'openai'", name="openai"))
    InstallationError("the package openai is not installed; pip install 'synalign-spark[llm]'")
    """
    package = (err.name or "").split(".")[0] if isinstance(err, ModuleNotFoundError) else ""
    if package not in EXTRA_OF:
        return None
    return InstallationError(f"the package {package} is not installed; pip install 'synalign-spark[{EXTRA_OF[package]}]'")


@contextlib.contextmanager
def extras_named() -> Iterator[None]:
    """Raises InstallationError that names the extra where an import in the body fails for want of it."""
    try:
        yield
    except ModuleNotFoundError as err:
        if (found := missing_extra(err)) is None:
            raise
        raise found from err
