"""The demonstration: 52 agencies, one broker, a story, and the books."""
