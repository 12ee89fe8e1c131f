"""What holds for all tests: the count of error codes that were raised."""

pytest_plugins = ["tests.coverage_of_codes"]
