"""SynAlign on Spark: synthetic rows that follow the distribution of a real corpus."""

__version__ = "0.1.0"
