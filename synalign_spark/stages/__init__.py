"""Each stage is a function from DataFrames to DataFrames; jobs read and write around it."""
