"""The functions that a user calls with DataFrames, pandas or Spark; each module has one. ``synalign_spark`` brings them in when first used."""
