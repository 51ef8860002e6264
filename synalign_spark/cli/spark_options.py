"""The words of a ``spark-submit`` call: the user's options are kept, and what this project adds is joined to theirs.

An option wins over the setting of that name (``--conf``), and that over the properties file, as in Spark: adding ``--packages`` of our own
would silently drop the user's, wherever they stand. So the value that Spark would take is looked up first.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from synalign_spark.errors import ConfigError

JAVA_OPTIONS = "spark.driver.extraJavaOptions"
# Lists, and the setting of each.
LISTS = {
    "--packages": "spark.jars.packages",
    "--exclude-packages": "spark.jars.excludes",
    "--jars": "spark.jars",
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
}
VALUES = {"--master": "spark.master", "--deploy-mode": "spark.submit.deployMode", "--driver-java-options": JAVA_OPTIONS}
OURS, OUR_FLAGS = ("--config", "--set", "--events"), ("--redo", "--json")
WITH_DEFAULTS = "--load-spark-defaults"
SPARK_FLAGS = ("--verbose", "-v", "--supervise", "--version", "--help", "-h", "--usage-error", WITH_DEFAULTS)
PROPERTY = re.compile(r"((?:\\.|[^\\\s=:])+)\s*[=:]?\s*(.*)", re.DOTALL)  # as java.util.Properties parts a line
SUPERSEDED = {  # of ours, where the user has brought another build of the same
    "io.delta:delta-spark": ("io.delta:delta-spark",),
    "org.apache.hadoop:hadoop-aws": ("org.apache.hadoop:hadoop-aws", "software.amazon.awssdk:"),
}


@dataclass
class Given:
    """The words of the user. configs: of ``--config``; job: the other words of ours; rest: options of Spark's that stay as they are."""

    configs: list[str] = field(default_factory=list)
    job: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)  # by the setting that each stands for
    conf: dict[str, str] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    properties: str | None = None

    @property
    def settings(self) -> list[str]:
        """What ``--set`` was given."""
        return [value for word, value in zip(self.job, self.job[1:], strict=False) if word == "--set"]


def parsed(words: Sequence[str]) -> Given:
    """The words in their parts; ``--option=value`` is ``--option value``. Raises ConfigError for an option without its value.

    >>> given = parsed(["--config=a.yaml", "--packages", "g:a:1", "--conf", "spark.x=1", "-v", "--queue", "q", "--redo"])
    >>> given.configs, given.options, given.conf, given.rest, given.job
    (['a.yaml'], {'spark.jars.packages': 'g:a:1'}, {'spark.x': '1'}, ['-v', '--queue', 'q'], ['--redo'])
    """
    found, left = Given(), list(words)
    while left:
        name, joined, value = left.pop(0).partition("=")
        if name in OUR_FLAGS or name in SPARK_FLAGS:
            (found.job if name in OUR_FLAGS else found.rest).append(name)
            continue
        if not name.startswith("-"):
            raise ConfigError(f"{name + joined + value!r} is no option; spark-submit.sh takes STAGE and options alone")
        if not joined:
            if not left:
                raise ConfigError(f"{name} needs a value")
            value = left.pop(0)
        _take(found, name, value)
    return found


def _take(found: Given, name: str, value: str) -> None:
    if name == "--config":
        found.configs.append(value)
    elif name in OURS:
        found.job += [name, value]
    elif name in LISTS or name in VALUES:
        found.options[LISTS.get(name) or VALUES[name]] = value
    elif name == "--remote":
        place = value.partition(";")[0].rstrip("/")  # a token may follow, which belongs in SPARK_REMOTE
        raise ConfigError(f"--remote: on a Spark Connect server no spark-submit is needed; run: synalign run --set spark.remote={place}")
    elif name in ("--conf", "-c"):
        key, equals, setting = value.partition("=")
        if not equals:
            raise ConfigError(f"--conf {value!r} is no KEY=VALUE")
        found.conf[key] = setting
    else:
        found.properties = value if name == "--properties-file" else found.properties
        found.rest += [name, value]


def default_properties(given: Given, spark_home: str) -> dict[str, str]:
    """The settings of the properties file that Spark reads, of those that are named in one way or another; {} without a file.

    Spark's own, unless ``--properties-file`` names another; beside that one where ``--load-spark-defaults`` asks for both."""
    folder = os.environ.get("SPARK_CONF_DIR") or os.path.join(spark_home, "conf")
    usual = os.path.join(folder, "spark-defaults.conf")
    if given.properties is None:
        return _properties(usual)
    return {**(_properties(usual) if WITH_DEFAULTS in given.rest else {}), **_properties(given.properties)}


def _properties(path: str) -> dict[str, str]:
    """The pairs of a file in the form of Java's properties; {} where it cannot be read: of one that is named Spark says that it is missing."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in map(str.lstrip, lines):
        if not line or line[0] in "#!":
            continue
        while (len(line) - len(line.rstrip("\\"))) % 2:  # it goes on in the next one
            line = line[:-1] + next(lines, "").lstrip()
        if pair := PROPERTY.fullmatch(line):
            key, value = (re.sub(r"\\(.)", r"\1", part) for part in pair.groups())
            found[key] = value.strip()
    return {key: value for key, value in found.items() if value}


@dataclass(frozen=True)
class Plan:
    """What to start. words: of spark-submit; master: the one that it takes; ship: files to copy, as (from, to)."""

    words: list[str]
    master: str
    cluster: bool
    ship: list[tuple[str, str]]


def plan(stage: str, root: str, work: str, given: Given, ours: Mapping[str, str], defaults: Mapping[str, str], java: str = "") -> Plan:
    """The call that runs a stage with the user's options and ours.

    root: of the code; work: a folder with synalign.zip; ours: settings that bring jars; defaults: of the properties file; java: options
    of the driver's JVM in the configuration. With ``--deploy-mode cluster`` the configuration files are shipped, and named as the driver finds
    them."""
    theirs = {**defaults, **given.conf, **given.options}
    master = theirs.get("spark.master", "local[*]")
    cluster = theirs.get("spark.submit.deployMode", "client") == "cluster"
    ship = _shipped(given.configs, work) if cluster else []
    extra = {
        **_without_superseded(ours, theirs),
        "spark.submit.pyFiles": f"{work}/synalign.zip",
        "spark.files": ",".join(target for _, target in ship),
    }
    words = ["--master", master, "--name", f"synalign:{stage}"]
    if "spark.submit.deployMode" in given.options:
        words += ["--deploy-mode", given.options["spark.submit.deployMode"]]
    for option, key in LISTS.items():
        if value := ",".join(filter(None, (extra.get(key), theirs.get(key)))):
            words += [option, value]
    # The log settings lie on this machine; the user's come last, so that another file of theirs wins.
    log = "" if cluster else f"-Dlog4j2.configurationFile=file:{root}/conf/log4j2.properties"
    if options := " ".join(filter(None, (log, java, theirs.get(JAVA_OPTIONS)))):
        words += ["--conf", f"{JAVA_OPTIONS}={options}"]
    joined = {*LISTS.values(), JAVA_OPTIONS, "spark.master"}
    for key, value in given.conf.items():
        words += ["--conf", f"{key}={value}"] if key not in joined else []
    configs = [os.path.basename(target) for _, target in ship] if cluster else given.configs
    words += [*given.rest, f"{root}/jobs/{stage}.py", *(word for name in configs for word in ("--config", name)), *given.job]
    return Plan(words, master, cluster, ship)


def _shipped(configs: Sequence[str], work: str) -> list[tuple[str, str]]:
    """(file, its copy) of each configuration: files of one name in several folders get a number before it."""
    names = Counter(os.path.basename(one) for one in configs)
    for one in configs:
        if not os.path.isfile(one):
            raise ConfigError(f"--config {one!r}: no such file on this machine, from which --deploy-mode cluster ships it; mend the path")
    return [(one, f"{work}/{f'{i}-' * (names[os.path.basename(one)] > 1)}{os.path.basename(one)}") for i, one in enumerate(configs)]


def _without_superseded(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Our packages but for those that the user brings, as a package or a jar, in a version of their own."""
    packages = theirs.get("spark.jars.packages", "").split(",")
    jars = [
        os.path.basename(jar).removeprefix("io.delta_").removeprefix("org.apache.hadoop_")
        for jar in theirs.get("spark.jars", "").split(",")
    ]
    dropped: list[str] = []
    for coordinate, names in SUPERSEDED.items():
        artifact = coordinate.partition(":")[2]
        if any(one.startswith(coordinate) for one in packages) or any(jar.startswith(artifact) for jar in jars):
            dropped += names
    kept = {**ours}
    if "spark.jars.packages" in ours:
        kept["spark.jars.packages"] = ",".join(one for one in ours["spark.jars.packages"].split(",") if not one.startswith(tuple(dropped)))
    excludes = ours.get("spark.jars.excludes", "").split(",") if kept.get("spark.jars.packages") else []
    asked = {tuple(one.split(":")[:2]) for one in packages if one}  # Ivy would leave these out too
    kept["spark.jars.excludes"] = ",".join(one for one in excludes if not any(_covers(one, *names) for names in asked))
    return kept


def _covers(rule: str, group: str, artifact: str = "") -> bool:
    """Whether a rule such as ``g:*`` leaves an artifact out."""
    return fnmatchcase(f"{group}:{artifact}", rule)
