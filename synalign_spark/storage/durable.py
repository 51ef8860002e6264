"""Files that survive a power loss: the content on the disk before the name, and the name before anybody goes on."""

import os
from pathlib import Path

from pyarrow import fs


def sync_folder(path: str) -> None:
    """Returns once the names in a local folder are on the disk. Raises OSError."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(files: fs.FileSystem, path: str) -> None:
    """Makes a folder, with those above it that are missing; on this machine's disk their names survive a power loss."""
    missing: list[Path] = []
    if isinstance(files, fs.LocalFileSystem):
        missing = [folder for folder in (Path(path), *Path(path).parents) if not folder.exists()]
    files.create_dir(path, recursive=True)
    for folder in missing:
        sync_folder(str(folder.parent))


def write_whole(files: fs.FileSystem, path: str, content: bytes) -> None:
    """Writes a file, or replaces it, whole or not at all, whenever the process is killed; returns once it is durable.

    The file is written beside it, as ``path`` and '.part', first. Raises what the file system does."""
    part = f"{path}.part"
    if not isinstance(files, fs.LocalFileSystem):
        with files.open_output_stream(part) as stream:
            stream.write(content)
        files.move(part, path)
        return
    with open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(os.path.dirname(path))
