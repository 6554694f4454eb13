"""Fixtures of the operator tests: nothing computes by native PyTorch unseen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import hypothesis
import pytest
import torch

from cnnext import NativeFallbackWarning
from cnnext.runtime import fallback

# Derandomized, so that a failure is the same on every machine and in every run.
hypothesis.settings.register_profile(
    "cnnext",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("cnnext")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """One thread, where a test does not ask for more: threads wait long on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fallback to ATen is an error, except in the tests that ask for `fallbacks`.

    The quiet ones, where native is faster, do not happen.
    """
    strict = "fallbacks" not in request.fixturenames
    monkeypatch.setenv("CNNEXT_STRICT", "1" if strict else "0")
    for asked in ("_trains_faster_natively", "_computes_faster_natively"):
        monkeypatch.setattr(f"cnnext.ops.common.elementwise.{asked}", lambda *_: False)
    for least in ("_MIN_ELEMENTS", "_MIN_ELEMENTS_FOR_FUNCTION"):
        monkeypatch.setattr(f"cnnext.ops.dropout.{least}", 0)


@pytest.fixture
def fallbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Allows fallbacks, as if none had been noticed before, and collects their warnings."""
    monkeypatch.setattr(fallback, "_noticed", set())
    messages: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", NativeFallbackWarning)
        show = warnings.showwarning

        def collect(message, category, *rest):
            if category is NativeFallbackWarning:
                messages.append(str(message))
            else:
                show(message, category, *rest)

        monkeypatch.setattr(warnings, "showwarning", collect)
        yield messages


@pytest.fixture
def generator(seed: int) -> torch.Generator:
    """The test's own source of random numbers."""
    return torch.Generator().manual_seed(seed)


def pytest_configure(config: pytest.Config) -> None:
    # Notices of torch about what the tests compare with.
    for notice in ("Using padding='same' with even kernel", "`torch.jit"):
        config.addinivalue_line("filterwarnings", f"ignore:{notice}")
