"""What the central authority runs: bootstrap, directory and topology."""
