"""The report of a run: measures taken in Spark, figures as SVG, one offline HTML page, and the metrics table."""
