"""Fixtures of the tests of the testing tools."""

from tests.testing.fakes import fake_gpu

__all__ = ["fake_gpu"]
