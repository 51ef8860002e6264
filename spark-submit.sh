#!/usr/bin/env bash
# Submits one stage, or the whole pipeline, to Spark, and ships the code with it.
#
#   ./spark-submit.sh STAGE --config FILE [--config FILE ...] [--set KEY=VALUE ...] [--redo] [--json] [--events FILE]
#                     [any spark-submit option]
#
#   STAGE: ingest embed cluster dedup select generate align rounds resample report, or pipeline for all of them
#   --master local[*] | local-cluster[2,1,2048] | yarn | k8s://... | spark://...     (default: local[*])
#   --jars a.jar,b.jar   the jars of Delta and S3 from a folder of yours; without it Spark resolves them as packages, with
#                        those that spark.conf names in the configuration
#
# It ends with the exit status of `synalign run` (with --deploy-mode cluster it is spark-submit's own), and hands SIGTERM and
# Ctrl-C on to the driver, which ends cleanly.
#
# SPARK_HOME names the Spark to use (default: the one inside PySpark), PYSPARK_PYTHON the Python of the workers.
# On a cluster that Python needs the packages of setup.py; the code itself travels as an archive.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() { sed -n '2,17p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; }
[ $# -gt 0 ] || { usage >&2; exit 2; }
case "$1" in -h | --help) usage; exit 0 ;; esac

stage="$1"; shift
case "$stage" in
  ingest | embed | cluster | dedup | select | generate | align | rounds | resample | evaluate | report | pipeline) ;;
  *) echo "spark-submit.sh: '$stage' is no stage; one of ingest embed cluster dedup select generate align rounds resample evaluate report pipeline" >&2; exit 2 ;;
esac

python="${PYSPARK_PYTHON:-}"
if [ -z "$python" ]; then
  if [ -x "$here/.venv/bin/python" ]; then python="$here/.venv/bin/python"; else python="$(command -v python3)"; fi
fi
export PYSPARK_PYTHON="$python" PYSPARK_DRIVER_PYTHON="${PYSPARK_DRIVER_PYTHON:-$python}"
export SPARK_HOME="${SPARK_HOME:-$("$python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')}"
command -v "${JAVA_HOME:+$JAVA_HOME/bin/}java" >/dev/null || { echo "spark-submit.sh: Java is missing: install a Java 17 or 21 runtime or set JAVA_HOME" >&2; exit 2; }

job=() spark=() files=() master="local[*]" jars=""
while [ $# -gt 0 ]; do
  case "$1" in
    --config) job+=(--config "$2"); files+=("$2"); shift 2 ;;
    --set) job+=(--set "$2"); shift 2 ;;
    --redo | --json) job+=("$1"); shift ;;
    --events) job+=(--events "$2"); shift 2 ;;
    --master) master="$2"; shift 2 ;;
    --jars) jars="$2"; spark+=(--jars "$2"); shift 2 ;;
    *) spark+=("$1"); shift ;;
  esac
done

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" - "$here" "$work/synalign.zip" <<'PYTHON'
import os, sys, zipfile

root, target = sys.argv[1:]
with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
    for folder, _, files in os.walk(os.path.join(root, "synalign_spark"), followlinks=True):  # udfs and conf are links
        for path in (os.path.join(folder, name) for name in files if not name.endswith(".pyc")):
            archive.write(path, os.path.relpath(path, root))
PYTHON

if [ -z "$jars" ]; then
  options="$(PYTHONPATH="$here" "$python" -m synalign_spark.cli.submit "${job[@]}")" || exit $?
  while IFS= read -r option; do [ -z "$option" ] || spark+=("$option"); done <<<"$options"
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
"$SPARK_HOME/bin/spark-submit" --master "$master" --name "synalign:$stage" --py-files "$work/synalign.zip" \
  --conf "spark.driver.extraJavaOptions=-Dlog4j2.configurationFile=file:$here/conf/log4j2.properties" \
  "${spark[@]}" "$here/jobs/$stage.py" "${job[@]}" </dev/null &
child=$! status=0
set +m
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do  # a signal ends a wait before the child
  status=0
  wait "$child" || status=$?
done
exit "$status"
