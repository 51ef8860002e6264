"""What the estimators share: parameters taken from the configuration's sections, and persistence as tables.

An estimator names columns and configuration keys as keyword arguments (``SynAlignKMeans(embedding="vec", k=20)``); each is
a Spark ML ``Param`` of that name with a getter and a setter (``n_features``: ``getNFeatures``, ``setNFeatures``), whose
default, limits and meaning are those of the configuration.
"""

import difflib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError
from pyspark.ml.param import Param, Params
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import SparkSession

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.config import Config
from synalign_spark.errors import ConfigError

ROW_NUMBER = "__row"  # keeps the order of a stored table
P = TypeVar("P", bound=type["KeywordParams"])

# Column names, by role: what they hold and the default.
COLUMN_PARAMS: dict[str, tuple[str, str | None]] = {
    "text": ("Column of texts.", "text"),
    "label": ("Column of classes, or None.", None),
    "embedding": ("Column of vectors: arrays of numbers or Spark ML vectors.", "embedding"),
    "id": ("Column of unique ids, or None: then rows are known by their content.", None),
    "weight": ("Column of row weights, or None.", None),
    "cluster_id": ("Output column: the nearest centroid.", "cluster_id"),
    "sq_distance": ("Output column: squared Euclidean distance to it.", "sq_distance"),
    "posterior_sd": ("Output column: posterior standard deviation of the row's cluster.", "posterior_sd"),
}


class KeywordParams(Params):
    """Params that are set by keyword, in the constructor or by ``setX``; unknown ones are refused."""

    def __init__(self, **options: Any) -> None:
        """options: any of the class's parameters. Raises ConfigError for an unknown one or a value out of its limits."""
        super().__init__()
        self._setDefault(**self._defaults())
        self.setParams(**options)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """The default of each parameter, collected by the decorators."""
        return dict(getattr(cls, "param_defaults", {}))

    def setParams(self, **options: Any) -> Self:  # noqa: N802  # as Spark ML names it
        """Sets several parameters at once. Raises ConfigError for an unknown one or a value out of its limits."""
        for name in options:
            if name not in self._defaults():
                close = difflib.get_close_matches(name, self._defaults(), n=1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(self._defaults()))}"
                raise ConfigError(f"{type(self).__name__}: unknown parameter {name}={options[name]!r}; {hint}")
        # None is a value (no such column), which _set() of Spark ML leaves out.
        for name, value in options.items():
            self.set(self.getParam(name), value)
        return self

    def options(self, section: str) -> dict[str, Any]:
        """The values of the parameters that are keys of a section of the configuration."""
        keys = _fields(section)
        return {name: self.getOrDefault(name) for name in self._defaults() if name in keys}

    def __getattr__(self, name: str) -> Any:
        """Only for what does not exist: getters and setters are made by the decorators, which type checkers do not see."""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


def with_columns(*roles: str, **defaults: str | None) -> Callable[[P], P]:
    """Class decorator: a parameter for the name of each column; ``defaults`` replaces those of COLUMN_PARAMS."""

    def decorated(cls: P) -> P:
        for role in roles:
            doc, default = COLUMN_PARAMS[role]
            _add(cls, role, doc, defaults.get(role, default), _column_name(role))
        return cls

    return decorated


def with_section(section: str, leave_out: Iterable[str] = ()) -> Callable[[P], P]:
    """Class decorator: a parameter for each key of a section of the configuration."""

    def decorated(cls: P) -> P:
        for name, info in _fields(section).items():
            if name not in leave_out:
                default = info.get_default(call_default_factory=True)
                _add(cls, name, str(info.description), default, _checked(f"{section}.{name}", TypeAdapter(info.rebuild_annotation())))
        return cls

    return decorated


def with_param(name: str, doc: str, default: Any, kind: Any) -> Callable[[P], P]:
    """Class decorator: one more parameter. kind: the type of its values, with limits as in pydantic."""

    def decorated(cls: P) -> P:
        _add(cls, name, doc, default, _checked(name, TypeAdapter(kind)))
        return cls

    return decorated


def _fields(section: str) -> Mapping[str, Any]:
    model: Any = Config.model_fields[section].annotation
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _add(cls: type, name: str, doc: str, default: Any, check: Callable[[Any], Any]) -> None:
    """The Param, its default, its getter and its setter."""
    setattr(cls, name, Param(Params._dummy(), name, doc, typeConverter=check))
    cls.param_defaults = getattr(cls, "param_defaults", {}) | {name: default}  # type: ignore[attr-defined]
    camel = "".join(word[:1].upper() + word[1:] for word in name.split("_"))

    def getter(self: Any) -> Any:
        return self.getOrDefault(name)

    def setter(self: Any, value: Any) -> Any:
        return self.setParams(**{name: value})

    for function, prefix, what in ((getter, "get", "The value"), (setter, "set", "Sets the value")):
        function.__name__, function.__doc__ = f"{prefix}{camel}", f"{what} of ``{name}``: {doc}"
        function.__qualname__ = f"{cls.__qualname__}.{function.__name__}"
        setattr(cls, function.__name__, function)


def _checked(key: str, kind: TypeAdapter[Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            return kind.validate_python(value)
        except ValidationError as err:
            raise ConfigError(f"{key}: got {value!r}; {'; '.join(fault['msg'] for fault in err.errors(include_url=False))}") from err

    return check


def _column_name(role: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value):
            raise ConfigError(f"{role}: must be the name of a column, got {value!r}")
        return value

    return check


class TableWritable(MLWritable, MLReadable[Any]):
    """Persistence of a model: parameters as JSON metadata, as Spark ML writes them, and its data as Parquet tables.

    DataFrame reads and writes only: no RDD, no SparkContext. A class lists the names of its tables in ``stored_tables``."""

    stored_tables: Sequence[str] = ()

    @abstractmethod
    def to_tables(self) -> dict[str, pa.Table]:
        """The model's data by table name."""

    @abstractmethod
    def from_tables(self, stored: Mapping[str, pa.Table]) -> None:
        """Takes over what :meth:`to_tables` gave."""

    def write(self) -> MLWriter:
        """A writer of this model; ``save(path)`` and ``write().overwrite().save(path)`` use it."""
        return _TableWriter(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        """A reader of models of this class; ``load(path)`` uses it."""
        return _TableReader(cls)


class _TableWriter(MLWriter):
    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def saveImpl(self, path: str) -> None:  # noqa: N802  # what MLWriter calls
        spark = _session(self)
        DefaultParamsWriter.saveMetadata(self.instance, path, spark)
        for name, table in self.instance.to_tables().items():
            numbered = table.append_column(ROW_NUMBER, pa.array(range(table.num_rows), pa.int64()))
            from_arrow(spark, numbered).coalesce(1).write.parquet(f"{path}/{name}")  # a few rows a cluster


class _TableReader(MLReader[Any]):
    def __init__(self, cls: Any) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        spark = _session(self)
        metadata = DefaultParamsReader.loadMetadata(path, spark, f"{self.cls.__module__}.{self.cls.__name__}")
        instance = self.cls()
        instance._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(instance, metadata)
        stored = {name: spark.read.parquet(f"{path}/{name}").orderBy(ROW_NUMBER).drop(ROW_NUMBER) for name in self.cls.stored_tables}
        instance.from_tables({name: to_arrow(frame) for name, frame in stored.items()})
        return instance


def _session(of: Any) -> SparkSession:
    """The session that was set by ``session(spark)``, or the active one, classic or remote."""
    return of._sparkSession or SparkSession.active()
