"""The mathematics, one algorithm a file. Knows nothing of Spark, Ray or any language model."""
