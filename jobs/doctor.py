"""For spark-submit: what a run needs, looked at on the cluster itself, on the executors too. See ``spark-submit.sh``."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # this folder, whose select.py would stand in for Python's own module

from synalign_spark.cli.submit import main

main("doctor")
