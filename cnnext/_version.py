"""The version: pyproject.toml takes it from here, so that no installed metadata is needed."""

__version__ = "0.2.0"
