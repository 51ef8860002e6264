"""Where the page of a run lies in the lake, and how it gets there."""

from synalign_spark.errors import LakeError
from synalign_spark.storage.paths import STORE_FAULTS, fault_line, filesystem, local_path, remedy


def page_path(lake_path: str, run_id: str) -> str:
    """Where the page of a run is: a path on this machine, or an address."""
    folder = local_path(lake_path)
    return f"{lake_path.rstrip('/') if folder is None else folder}/reports/{run_id}.html"


def write_page(lake_path: str, run_id: str, page: str) -> str:
    """Writes the page whole or not at all; returns its path. Raises LakeError where the lake cannot be written."""
    place = page_path(lake_path, run_id)
    try:
        files, path = filesystem(place)
        folder, name = path.rsplit("/", 1)
        files.create_dir(folder, recursive=True)
        hidden = f"{folder}/.{name}.part"
        with files.open_output_stream(hidden) as sink:
            sink.write(page.encode())
        files.move(hidden, path)
    except STORE_FAULTS as err:
        raise LakeError(f"lake.path: the report cannot be written to {place!r} ({fault_line(err)}); {remedy(place)}") from err
    return place
