"""What sends the calls of a generation: a pool of Ray actors, or threads of this process."""
