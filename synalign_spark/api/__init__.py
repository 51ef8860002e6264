"""The public functions, one a module; ``synalign_spark`` brings them in when they are first used."""
