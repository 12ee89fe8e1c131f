"""What adapter and gateway share of the web: today, how an HTTP server is run."""
