"""Where the rows of a solve lie: in this process, in one Spark barrier stage, or in one Spark job a pass."""
