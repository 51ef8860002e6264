"""Where tables lie and what is in them: contracts, paths, the lake, and the record of a run."""
