"""The rows of a finished run as files that other tools read, with a card that says what they are."""
