"""What sends the calls of a generation: Ray actors, or an event loop in a thread of this process."""
