"""The demonstration: three ministries, one broker, a story, and the books."""
