"""The steps of a run, what is done already, and the Spark session that they share."""
