"""``python -m synalign_spark``: the command line."""

from synalign_spark.cli.main import main

main()
