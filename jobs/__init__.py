"""Entry points: one module a stage, the pipeline and the command line. The only place that starts Spark or Ray."""
