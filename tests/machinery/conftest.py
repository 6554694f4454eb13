"""As for the operator tests: one thread, and nothing computes by native PyTorch unseen."""

from tests.ops.conftest import _one_thread, _strict, fallbacks  # noqa: F401  (fixtures)
