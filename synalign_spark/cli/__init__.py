"""The command line ``synalign``."""
