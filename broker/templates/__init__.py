"""Templates of the broker's configuration; see :mod:`broker.configuration`."""
