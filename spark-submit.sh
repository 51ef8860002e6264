#!/usr/bin/env bash
# Submits one stage, or the whole pipeline, to Spark, and ships the code with it.
#
#   ./spark-submit.sh STAGE --config FILE [--config FILE ...] [--set KEY=VALUE ...] [--redo] [--json] [--events FILE]
#                     [any spark-submit option]
#
#   STAGE: ingest embed cluster dedup select generate align rounds resample evaluate report, or pipeline for all of them;
#   doctor looks at what they need, on the executors too
#   --master local[*] | local-cluster[2,1,2048] | yarn | k8s://... | spark://...     (default: local[*])
#
# Spark's options stay: --packages, --jars, --py-files, --files and the driver's Java options are joined to what the script adds, which is
# the code as an archive and the jars of Delta and S3 as packages, unless yours bring them. With --deploy-mode cluster the
# configuration files are shipped too.
#
# It ends with the exit status of `synalign run` (with --deploy-mode cluster it is spark-submit's own), and hands SIGTERM and
# Ctrl-C on to the driver, which ends cleanly.
#
# SPARK_HOME names the Spark to use (default: the one inside PySpark), PYSPARK_PYTHON the Python of the workers, which needs
# the packages of setup.py there; the script itself runs on the first of PYSPARK_DRIVER_PYTHON, PYSPARK_PYTHON, .venv and
# python3 that has them here.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
[ $# -gt 0 ] || { usage >&2; exit 2; }
case "$1" in -h | --help) usage; exit 0 ;; esac

stage="$1"; shift
case "$stage" in
  ingest | embed | cluster | dedup | select | generate | align | rounds | resample | evaluate | report | pipeline | doctor) ;;
  *) echo "spark-submit.sh: '$stage' is no stage; one of ingest embed cluster dedup select generate align rounds resample evaluate report pipeline doctor" >&2; exit 2 ;;
esac

command -v "${JAVA_HOME:+$JAVA_HOME/bin/}java" >/dev/null || { echo "spark-submit.sh: Java is missing: install a Java 17 or 21 runtime or set JAVA_HOME" >&2; exit 2; }

# The script's own interpreter: PYSPARK_PYTHON may name one that only the workers have (./environment/bin/python of an archive).
python=""
for candidate in "${PYSPARK_DRIVER_PYTHON:-}" "${PYSPARK_PYTHON:-}" "$here/.venv/bin/python" python3; do
  if [ -n "$candidate" ] && "$candidate" -c 'import pydantic, pyspark, yaml' >/dev/null 2>&1; then python="$candidate"; break; fi
done
[ -n "$python" ] || { echo "spark-submit.sh: no Python here has the packages of setup.py (tried PYSPARK_DRIVER_PYTHON, PYSPARK_PYTHON, .venv and python3): run make install, or set PYSPARK_DRIVER_PYTHON" >&2; exit 2; }
export SPARK_HOME="${SPARK_HOME:-$("$python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" "$python" -m synalign_spark.cli.submit "$stage" "$here" "$work" ${1+"$@"} || exit $?
words=()
while IFS= read -r -d '' word; do words+=("$word"); done <"$work/words"
master="$(cat "$work/master")"
if [ "$(cat "$work/mode")" = client ]; then  # in cluster mode the driver is elsewhere, and so is its Python
  export PYSPARK_PYTHON="${PYSPARK_PYTHON:-$python}" PYSPARK_DRIVER_PYTHON="${PYSPARK_DRIVER_PYTHON:-$python}"
fi
case "$master" in
  local*) export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" ;;
esac
export SYNALIGN_MASTER="$master" RAY_USAGE_STATS_ENABLED=0 SYNALIGN_DRIVER_PID="$work/driver.pid"
# In the background, since bash would hear of a signal only after it, and as a group of its own (-m): a signal goes to the driver
# alone once that runs, for the JVM would give it no time.
stop() { kill "-$1" "$(cat "$work/driver.pid" 2>/dev/null || echo "$child")" 2>/dev/null || true; }
trap 'stop TERM' TERM HUP
trap 'stop INT' INT
set -m
"$SPARK_HOME/bin/spark-submit" "${words[@]}" </dev/null &
child=$! status=0
set +m
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do  # a signal ends a wait before the child
  status=0
  wait "$child" || status=$?
done
exit "$status"
