"""The adapter's store: what was accepted, what has arrived, and every receipt for either."""
