"""OpenLineage events of a run (``run.lineage_job``): who sends them, what they hold, and how data sets are named."""
