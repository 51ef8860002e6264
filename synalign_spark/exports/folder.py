"""The folder of an export: there whole or not at all, and never in the place of what somebody else put there."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synalign_spark.errors import ConfigError, DataError
from synalign_spark.storage.paths import local_path

RECORD = "export.json"  # in the folder of each export: what it is, and which files it wrote


def place_of(out: str | os.PathLike[str], overwrite: bool) -> Path:
    """The folder as an absolute path. Raises ConfigError for an address, for a folder that holds anything where ``overwrite`` is not set,
    and, where it is, for one that holds what no export wrote."""
    folder = local_path(os.fspath(out))
    if folder is None or not os.fspath(out):
        raise ConfigError(f"out is {os.fspath(out)!r}; name a folder of this machine, and copy it to a store from there")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"out: {str(folder)!r} is there and is no folder; name another one")
    held = _files(folder)
    if held and not overwrite:
        raise ConfigError(f"out: the folder {str(folder)!r} is not empty; name another one, or replace an earlier export with --overwrite")
    if held and (foreign := sorted(held - _recorded(folder))):
        raise ConfigError(
            f"out: the folder {str(folder)!r} holds what no export wrote ({', '.join(map(repr, foreign[:3]))}); name another one, or move that away"
        )
    return folder


@contextlib.contextmanager
def new_folder(folder: Path, record: dict[str, Any], overwrite: bool) -> Iterator[Path]:
    """An empty folder beside ``folder`` that takes its name at the end of the block, and goes where the block fails.

    record: what the file export.json is to hold; what the block adds to it counts. Raises DataError where it cannot be written."""
    hidden = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        hidden.mkdir()
        try:
            yield hidden
            record["files"] = {name: (hidden / name).stat().st_size for name in sorted(_files(hidden))}
            (hidden / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            place_of(folder, overwrite)  # somebody may have put something there meanwhile
            _take_place(hidden, folder)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    except OSError as err:
        raise DataError(
            f"out: {str(folder)!r} cannot be written ({err}); name a folder that you may write, with room for the rows"
        ) from err


def _take_place(hidden: Path, folder: Path) -> None:
    """The new folder for the old one, which comes back where the new one cannot take its place."""
    old = hidden.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    try:
        hidden.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> set[str]:
    """Everything below a folder but folders that hold something, by its path from there."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink() or not any(path.iterdir()))
    return {path.relative_to(folder).as_posix() for path in found}


def _recorded(folder: Path) -> set[str]:
    """The files that an export wrote into a folder, by its own record; none where there is no such record."""
    try:
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
        return {RECORD, *files}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
