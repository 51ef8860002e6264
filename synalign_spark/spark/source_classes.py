"""Names of classes that the library datasets left beside numbers: in the schema of a file or in a note beside it."""

import contextlib
import json
import os
from typing import Any

import pyarrow as pa
from pyarrow import fs

from synalign_spark.core.text import normalise
from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import head
from synalign_spark.spark.source_types import parts_of


def class_names(path: str, data: list[fs.FileInfo], schema: pa.Schema, column: str | None) -> list[str] | None:
    """Names of the classes of a column, or of a part of one, that holds whole numbers or lists of them; None where nobody left any."""
    if not _numbered(schema, column or ""):
        return None
    told = (schema.metadata or {}).get(b"huggingface")
    with contextlib.suppress(DataError, ValueError, KeyError, TypeError, AttributeError):
        features = json.loads(told)["info"]["features"] if told else None
        if features is None:
            folder = os.path.dirname(data[0].path)
            features = json.loads(head(path, f"{folder}/dataset_info.json"))["features"]
        feature = _feature_of(features, column)
        if feature["_type"] == "ClassLabel":
            return [normalise(str(name)) for name in feature["names"]]  # as labels of rows
    return None


def _feature_of(features: dict[str, Any], column: str | None) -> dict[str, Any]:
    """What the library datasets says of a column, of a part of one, or of what a list holds. Raises KeyError where it says nothing.

    >>> _feature_of({"meta": {"tags": {"_type": "List", "feature": {"_type": "ClassLabel"}}}}, "meta.tags")
    {'_type': 'ClassLabel'}
    """
    found: Any = features
    for part in parts_of(column or "", list(features)) or ("",):
        found = _held(found)[part]
    return dict(_held(found))


def _held(feature: Any) -> Any:
    """What a list holds; anything else is itself."""
    while isinstance(feature, list) or feature.get("_type") in ("Sequence", "List", "LargeList"):
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    return feature


def _numbered(schema: pa.Schema, column: str) -> bool:
    """Whether a column, or a part of one, holds whole numbers or lists of them."""
    top, *rest = parts_of(column, schema.names) or ("",)
    found = schema.field(top).type if top in schema.names else pa.null()
    for part in [*rest, None]:
        while pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found):
            found = found.value_type
        if part is not None:
            found = found.field(part).type if pa.types.is_struct(found) and found.get_field_index(part) >= 0 else pa.null()
    return bool(pa.types.is_integer(found))
