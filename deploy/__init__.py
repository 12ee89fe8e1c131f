"""The command, the demonstration, and what puts Tarasul on a machine."""
