"""The template files of the prompts: found, checked before any work, and rendered within limits.

A template prints a text as a JSON literal whatever it forgets: only :class:`Words` are printed as they are, so what a filter or
``~`` makes of a text is quoted too. Corpus text reaches a template as a value alone and is never read as one.
"""

import contextlib
import difflib
import hashlib
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateNotFound
from jinja2.sandbox import SandboxedEnvironment

from synalign_spark.errors import ConfigError
from synalign_spark.generation.prompts.prompt import as_data, as_line
from synalign_spark.generation.prompts.variables import FILTERS, VARIABLES, Words, example

BUILT_IN = "built-in"
SUFFIX, PART = ".j2", "_"  # files that begin with the mark are parts, for {% include %}
TEMPLATES: dict[str, str] = {
    "system.j2": "the system message of both steps of a chat",
    "attributes.j2": "step 1 of a chat: which attributes do the demonstrations share?",
    "rows.j2": "step 2 of a chat: rows from attributes",
    "completion_attributes.j2": "step 1 for a model that continues text",
    "completion_rows.j2": "step 2 for a model that continues text: it goes on after the last line's dash",
}
MAX_PROMPT_CHARS = 500_000
LONGEST_TRIAL_S = 3.0  # of this thread's CPU, for one template with example data, which takes a millisecond
TRIAL_BYTES = 2**28  # beside what the process has; a prompt of the greatest length takes a hundredth
UNSAFE_FILTERS = ("safe", "escape", "e", "forceescape", "tojson", "urlize", "xmlattr")  # they mark a text as ready to print
UNSTEADY_FILTERS = ("random",)  # another prompt at every start: no stored answer would be found again


class _Environment(SandboxedEnvironment):
    """The sandbox, without arithmetic that fills the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(value, int | float) and abs(value) < 1e6 for value in (left, right)):
            raise SecurityError(f"`{operator}` takes numbers below a million here")
        return super().call_binop(context, operator, left, right)


class _Folder(FileSystemLoader):
    """The templates and parts of a folder, and no other file of it: what else lies or is linked there is never sent."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._names = _check_names(place)

    def get_source(self, environment: Any, template: str) -> Any:
        if template not in self._names:
            raise TemplateNotFound(template)
        return super().get_source(environment, template)


def _printed(value: Any) -> str:
    """What ``{{ value }}`` prints."""
    if isinstance(value, Words):
        return value
    if isinstance(value, Undefined):
        return str(value)  # raises, with the name
    if isinstance(value, str):
        return as_data(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TemplateError(f"a {type(value).__name__} cannot be printed; test for none, or go over it with {{% for %}}")


def environment(place: str) -> SandboxedEnvironment:
    """The templates of a folder, with the built-in ones for those that it does not replace. place: 'built-in' or a folder.

    Raises ConfigError for a folder that is none or holds no templates, and for a file of an unknown name."""
    own = PackageLoader("synalign_spark.generation.prompts", "templates")
    loader = own if place == BUILT_IN else ChoiceLoader([_Folder(place), own])
    found = _Environment(
        loader=loader, undefined=StrictUndefined, finalize=_printed, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    for name in (*UNSAFE_FILTERS, *UNSTEADY_FILTERS):
        del found.filters[name]
    del found.globals["lipsum"]  # other words each time: no prompt could be sent again
    found.filters |= {"data": lambda text: Words(as_data(str(text))), "line": lambda text: Words(as_line(str(text)))}
    return found


def render(environment: SandboxedEnvironment, name: str, values: Mapping[str, Any]) -> str:
    """One template with the given values. Raises ConfigError with file and line for anything that goes wrong in it."""
    pieces, length = [], 0
    try:
        for piece in environment.get_template(name).generate(values):
            pieces.append(piece)
            length += len(piece)
            if length > MAX_PROMPT_CHARS:
                raise TemplateError(f"the prompt is longer than {MAX_PROMPT_CHARS:,} characters")
    except Exception as err:  # whatever an expression of the user's raises
        raise ConfigError(f"generate.prompts: {_place(environment, name, err)}: {_said(err)}; {known()}") from err
    return "".join(pieces).strip()


def _said(err: Exception) -> str:
    if isinstance(err, MemoryError):
        return "it makes a text that does not fit the memory; look for a filter with a large number"
    if isinstance(err, TemplateNotFound):
        return f"there is no part {err.name!r}; parts are files of the folder itself, with names like {PART}name{SUFFIX}"
    return str(err) or type(err).__name__


def check_templates(place: str) -> SandboxedEnvironment:
    """Reads every template of a place ('built-in' or a folder) and renders it with example data, within limits of time and length.

    Returns the templates, to render with. Raises ConfigError with file and line for a syntax error, an unknown variable, and a template that fails or has no end."""
    templates = environment(place)
    for name in TEMPLATES:
        with _memory_limit(), _trial():
            _check_variables(templates, name)  # jinja works out constants while it reads
            texts = [render(templates, name, example(step)) for step in _steps(name)]
        if not all(texts):
            raise ConfigError(f"generate.prompts: {_file(templates, name)} gives an empty prompt; {known()}")
    return templates


def fingerprint(place: str) -> str:
    """Hash of the template files in a folder. Raises ConfigError as :func:`environment` does."""
    digest = hashlib.sha256()
    for name in _check_names(place):
        content = (Path(place) / name).read_bytes()
        digest.update(f"{name}\x1f{len(content)}\x1f".encode() + content)
    return digest.hexdigest()


def write_templates(folder: str) -> list[str]:
    """Writes the built-in templates into a folder, to be edited; returns the paths. Raises ConfigError where one is there."""
    target = Path(folder)
    source = files("synalign_spark.generation.prompts").joinpath("templates")
    contents = {item.name: item.read_text(encoding="utf-8") for item in source.iterdir() if item.name.endswith(SUFFIX)}
    if there := sorted(name for name in contents if (target / name).exists()):
        raise ConfigError(f"{str(target / there[0])!r} exists and is left as it is; name another folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (target / name).write_text(content, encoding="utf-8")
    except OSError as err:
        raise ConfigError(f"{folder!r} cannot be written ({err.strerror}); name a folder that you may write") from err
    return [str(target / name) for name in sorted(contents)]


def _steps(name: str) -> tuple[str, ...]:
    """The steps that a template serves."""
    return tuple(step for step in ("attributes", "rows") if step in name) or ("attributes", "rows")


def known() -> str:
    """The variables and filters that there are, in words."""
    return f"a template knows {', '.join(VARIABLES)}, and the filters {' and '.join(FILTERS)}"


def _check_names(folder: str) -> list[str]:
    """The template files of a folder, by name. Raises ConfigError for a missing folder, none, or one that nothing would read."""
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(
            f"generate.prompts: {folder!r} is no folder; write one to start from with `synalign prompts FOLDER`, or set it to {BUILT_IN}"
        )
    names = sorted(item.name for item in path.iterdir() if item.name.endswith(SUFFIX))
    for name in names:
        if name not in TEMPLATES and not name.startswith(PART):
            close = difflib.get_close_matches(name, TEMPLATES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(TEMPLATES)}, and parts whose name begins with {PART}"
            raise ConfigError(f"generate.prompts: nothing reads {str(path / name)!r}; {hint}")
        if not (path / name).resolve().is_relative_to(path.resolve()):
            raise ConfigError(
                f"generate.prompts: {str(path / name)!r} is a link out of the folder, and would be sent; put the file itself there"
            )
    if not names:
        raise ConfigError(f"generate.prompts: {folder!r} holds no templates; they are {', '.join(TEMPLATES)}")
    return names


def _check_variables(environment: SandboxedEnvironment, name: str) -> None:
    """Raises ConfigError for a template that cannot be read or parsed, and for a variable that no branch will ever find."""
    try:
        source, filename, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
        tree = environment.parse(source, name, filename)
        used = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as err:
        raise ConfigError(f"generate.prompts: {filename}, line {err.lineno}: {err.message}; {known()}") from err
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"generate.prompts: {name} cannot be read ({err}); it must be text in UTF-8") from err
    for unknown in sorted(used - set(VARIABLES) - set(environment.globals)):
        line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == unknown)
        close = difflib.get_close_matches(unknown, VARIABLES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"generate.prompts: {filename}, line {line}: unknown variable {unknown!r}; {hint}{known()}")


def _file(environment: SandboxedEnvironment, name: str) -> str:
    return str(environment.get_template(name).filename or name)


def _place(environment: SandboxedEnvironment, name: str, err: Exception) -> str:
    """File and line of an error in a template: where its trace was last in one."""
    if isinstance(err, TemplateSyntaxError):
        return f"{err.filename or name}, line {err.lineno}"
    place, trace = "", err.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.endswith(SUFFIX):
            place = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place or name


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    """Ends a template that fills the memory in one step (a filter that pads to a billion characters), which nothing else can interrupt.

    The limit is the process's, for the milliseconds that a trial takes; where the system knows none, there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = used + TRIAL_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _trial() -> Iterator[None]:
    """Ends a template that has no end: a template is Python code underneath, which this thread traces line by line."""
    before, end = sys.gettrace(), time.thread_time() + LONGEST_TRIAL_S  # on a busy machine a sound one may wait for seconds

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if time.thread_time() > end:
            raise TemplateError(f"it takes longer than {LONGEST_TRIAL_S:g} seconds with two demonstrations; look for a loop in a loop")
        return watch

    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
