"""Notes of the batches that were made and not read yet, beside the ledger: a start after a kill finds its batch again and pays for none twice.

A note is written before its batch is made, and once more with the batch's id; the calls are answered from the batch, then it is removed.
"""

import json
import uuid
from dataclasses import asdict, dataclass, replace

from pyarrow import fs

from synalign_spark.errors import LakeError
from synalign_spark.generation.dialects import Terms
from synalign_spark.storage.durable import write_whole
from synalign_spark.storage.paths import STORE_FAULTS, fault_line, filesystem, remedy

PREFIX, SUFFIX = "batch-", ".json"


@dataclass(frozen=True)
class Note:
    """name: of the note's file; file_id: of the calls at the endpoint; terms: that they were written under; request_ids: theirs; batch_id:
    None until the endpoint has told it."""

    name: str
    file_id: str
    terms: Terms
    request_ids: tuple[str, ...]
    batch_id: str | None = None


class Notes:
    """The notes of one ledger."""

    def __init__(self, folder: str) -> None:
        """folder: of the ledger, any file system."""
        self._folder = folder

    def add(self, file_id: str, terms: Terms, request_ids: tuple[str, ...]) -> Note:
        """Notes a file of which a batch will be made."""
        note = Note(f"{PREFIX}{uuid.uuid4().hex}{SUFFIX}", file_id, terms, request_ids)
        self._write(note)
        return note

    def made(self, note: Note, batch_id: str) -> Note:
        """Notes the id of the batch."""
        note = replace(note, batch_id=batch_id)
        self._write(note)
        return note

    def remove(self, note: Note) -> None:
        """The batch was read, or will never be."""
        try:
            files, root = filesystem(self._folder)
            files.delete_file(f"{root}/{note.name}")
        except STORE_FAULTS as err:
            raise LakeError(
                f"lake.path: {note.name} in {self._folder!r} cannot be removed ({fault_line(err)}); {remedy(self._folder)}"
            ) from err

    def read(self) -> list[Note]:
        """All notes. Raises LakeError for one that cannot be read: its batch may have been paid for."""
        try:
            files, root = filesystem(self._folder)
            found = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
            named = [info for info in found if info.base_name.startswith(PREFIX) and info.base_name.endswith(SUFFIX)]
            return [
                self._parse(info.base_name, files.open_input_stream(info.path).readall()) for info in sorted(named, key=lambda i: i.path)
            ]
        except STORE_FAULTS as err:
            raise LakeError(
                f"lake.path: the notes of batches in {self._folder!r} cannot be read ({fault_line(err)}); {remedy(self._folder)}"
            ) from err

    def _parse(self, name: str, raw: bytes) -> Note:
        try:
            data = json.loads(raw)
            terms = Terms(**data["terms"] | {"dropped": tuple(data["terms"]["dropped"])})
            return Note(name, data["file_id"], terms, tuple(data["request_ids"]), data["batch_id"])
        except (ValueError, KeyError, TypeError) as err:
            raise LakeError(
                f"lake.path: {name} in {self._folder!r} is no note of a batch ({err}); remove it, and the calls of its batch are sent again"
            ) from err

    def _write(self, note: Note) -> None:
        """Returns once the note would survive a power loss: without it a batch that was made would be paid for again."""
        said = asdict(note)
        name = said.pop("name")
        try:
            files, root = filesystem(self._folder)
            write_whole(files, f"{root}/{name}", json.dumps(said).encode())
        except STORE_FAULTS as err:
            raise LakeError(f"lake.path: a note in {self._folder!r} cannot be written ({fault_line(err)}); {remedy(self._folder)}") from err
