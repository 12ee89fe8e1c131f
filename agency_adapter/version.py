"""The release, as the API and the command line state it."""

from importlib.metadata import version

VERSION = version("tarasul")
