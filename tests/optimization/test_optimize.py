"""cnnext.optimize: what it takes, gives back, notices and refuses."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import cnnext
from tests.optimization.networks import NAMES, network
from tests.optimization.support import randomized


class Block(nn.Module):
    """A residual block and a classifier: whole in a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = self.pool(torch.relu(x + self.conv(x)))
        return self.head(x.mean([2, 3]))


class Sorted(nn.Module):
    """Two plans, and between them a call that no plan has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor, descending: bool = False) -> tuple[Tensor, Tensor]:
        x = self.first(x)
        x = x.sort(dim=1, descending=descending).values
        return self.second(x), x


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return randomized(Block())


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 12, 10)


def check(fast: nn.Module, model: nn.Module, *inputs: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(fast(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)


def test_equals_the_original(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    for size in ((1, 3, 12, 10), (5, 3, 7, 9), (2, 3, 32, 32)):
        check(fast, model, torch.randn(size))
    check(fast, model, x.to(memory_format=torch.channels_last))
    assert torch.equal(fast(x), fast(x))
    assert not fast(x).requires_grad


@pytest.mark.parametrize("with_example", [True, False], ids=["with-example", "without-example"])
@pytest.mark.parametrize("name", NAMES)
def test_networks_are_planned_whole(name: str, with_example: bool) -> None:
    model = randomized(network(name))
    x = torch.randn(2, 3, 16, 16)
    fast = cnnext.optimize(model, x if with_example else None, strict=True)
    assert not fast.report().native
    assert fast.report(x).steps
    check(fast, model, x)
    if not name.startswith("classifier"):
        check(fast, model, torch.randn(3, 3, 32, 48))


def test_without_an_example(model: nn.Module, x: Tensor) -> None:
    check(cnnext.optimize(model), model, x)


def test_converted_models(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(cnnext.convert(model), x, strict=True)
    check(fast, model, x)
    assert type(cnnext.convert(fast)).__name__ == "Optimized"


def test_parts(x: Tensor) -> None:
    model = Sorted().eval()
    fast = cnnext.optimize(model, x)
    check(fast, model, x)
    assert {call.call for call in fast.report().native} == {"sort", "getattr"}
    for descending in (False, True):
        for wanted, got in zip(model(x, descending), fast(x, descending), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


class WithOptions(Block):
    def forward(self, x: Tensor, scale: float = 1.0, **options: float) -> Tensor:
        return super().forward(x) * options.pop("factor", scale)


@pytest.mark.parametrize("depth", [0, 1], ids=["model", "submodule"])
def test_a_model_may_take_any_keywords(depth: int, x: Tensor) -> None:
    """Where none is given, the trace is called."""

    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = WithOptions()

        def forward(self, x: Tensor, **options: float) -> Tensor:
            return self.inner(x, **options) if x.sum() != 0 else x

    model = randomized([WithOptions, Deciding][depth]())
    fast = cnnext.optimize(model, x)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fast(x=x), model(x=x), rtol=1e-4, atol=1e-4)
        warnings.simplefilter("ignore")
        got, wanted = fast(x, factor=3.0), model(x, factor=3.0)
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(got, model(x))


def test_what_no_plan_has_stays_native(x: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 5, 1)).eval()
    fast = cnnext.optimize(model, x)
    check(fast, model, x)
    assert {call.reason for call in fast.report().native} == {"no operator for GroupNorm"}


def test_the_original_is_untouched(model: nn.Module, x: Tensor) -> None:
    state = copy.deepcopy(model.state_dict())
    modules = dict(model.named_modules())
    fast = cnnext.optimize(model, x)
    assert fast.original is cnnext.restore(fast) is model
    assert dict(model.named_modules()) == modules
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    model.train()
    assert not fast.training
    assert not list(fast.parameters())


def zero(model: nn.Module) -> None:
    with torch.no_grad():
        model.get_parameter("conv.weight").zero_()


def replace_parameter(model: nn.Module) -> None:
    model.get_submodule("head").bias = nn.Parameter(torch.ones(5))


def replace_data(model: nn.Module) -> None:
    model.get_parameter("stem.weight").data = torch.randn(8, 3, 3, 3)


def load(model: nn.Module) -> None:
    torch.manual_seed(1)
    model.load_state_dict(randomized(Block()).state_dict())


def write_statistics(model: nn.Module) -> None:
    model.get_buffer("norm.running_var").fill_(7)


def adapt_statistics(model: nn.Module) -> None:
    """PyTorch does not count what a batch norm writes into its statistics."""
    model.train()
    with torch.no_grad():
        model(3 + torch.randn(4, 3, 8, 8))
    model.eval()


def replace_data_twice(model: nn.Module) -> None:
    for _ in range(2):
        weight = model.get_parameter("stem.weight")
        weight.data = weight.data * 1.5


def train(model: nn.Module) -> None:
    model.train()
    model(torch.randn(4, 3, 8, 8)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    model.eval()


@pytest.mark.parametrize(
    "change",
    [
        *(zero, replace_parameter, replace_data, replace_data_twice, load),
        *(write_statistics, adapt_statistics, train),
    ],
)
def test_changes_are_noticed(model: nn.Module, x: Tensor, change: Callable[..., None]) -> None:
    fast = cnnext.optimize(model, x)
    before = fast(x)
    change(model)
    check(fast, model, x)
    assert not torch.equal(fast(x), before)


def test_a_change_that_no_plan_takes_stays_noticed(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    model.half()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Half"):
            fast(x)
    model.float()
    check(fast, model, x)
    model.get_submodule("conv").bias = None
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"no tensor conv\.bias any more"):
            fast(x)


def test_refresh(model: nn.Module, x: Tensor) -> None:
    """PyTorch does not count what is written through NumPy."""
    fast = cnnext.optimize(model, x)
    model.get_parameter("conv.weight").detach().numpy()[:] = 0.5
    fast.refresh()
    check(fast, model, x)


def test_subnormal_weights(model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        model.get_parameter("conv.weight").fill_(1e-42)
    check(cnnext.optimize(model, x), model, x)


def test_training_is_refused(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    fast.train()
    with pytest.raises(RuntimeError, match="for inference"):
        fast(x)
    fast.eval()
    check(fast, model, x)
    model.train()
    with pytest.raises(RuntimeError, match="for inference"):
        fast(x)
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"):
        cnnext.optimize(model.train(), x)


def test_gradients_are_refused(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="computes no gradients"):
        fast(x)
    with torch.no_grad():
        check(fast, model, x)


def test_no_result_requires_gradients(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cnnext.NativeFallbackWarning)
        assert not fast(torch.zeros(0, 3, 12, 10)).requires_grad
    assert not cnnext.optimize(Sorted().eval(), x)(x)[0].requires_grad


def test_moves_are_refused(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    for move in (fast.double, fast.half, lambda: fast.to("meta")):
        with pytest.raises(RuntimeError, match="cannot be moved or cast"):
            move()


@pytest.mark.parametrize(
    "kwargs", [{"check": "float32"}, {"check": None}], ids=lambda kwargs: str(kwargs)
)
def test_wrong_options(model: nn.Module, kwargs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="check must be"):
        cnnext.optimize(model, **kwargs)  # type: ignore[arg-type]


def test_what_is_no_module() -> None:
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
        cnnext.optimize(torch.relu)  # type: ignore[arg-type]


def test_wrong_calls_fail_as_the_original(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    for args in ((), (x, x), (torch.randn(1, 4, 12, 10),), (None,)):
        for called in (model, fast):
            with pytest.raises((TypeError, RuntimeError)):
                called(*args)


def test_strict(x: Tensor) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)strict: .*native: sort"):
        cnnext.optimize(Sorted().eval(), x, strict=True)


def test_check(model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    cnnext.optimize(model, x, check="float64")
    wrong = [torch.zeros(2, 5)]
    monkeypatch.setattr(
        "cnnext.optimization.planned_part.direct.plan_run", lambda *_: wrong, raising=False
    )
    for check in (True, "float64"):
        with pytest.raises(RuntimeError, match="results differ"):
            cnnext.optimize(model, x, check=check)
    cnnext.optimize(model, x, check=False)


def test_other_dtypes_are_native(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cnnext.NativeFallbackWarning)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert fast(x).dtype == model(x).dtype == torch.bfloat16
        model.double()
        check(fast, model, x.double())


def test_copies(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    stream = io.BytesIO()
    torch.save(fast, stream)
    stream.seek(0)
    for again in (
        copy.deepcopy(fast),
        pickle.loads(pickle.dumps(fast)),
        torch.load(stream, weights_only=False),
    ):
        assert again.original is not model
        assert torch.equal(again(x), fast(x))
        zero(again.original)
        check(again, again.original, x)
    check(fast, model, x)


def test_report(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x)
    report = fast.report(x, profile=True)
    assert not report.native
    fused = next(step for step in report.steps if "stem" in step.layers)
    assert "norm" in fused.layers
    assert all(step.measured is not None and step.measured >= 0 for step in report.steps)
    assert all(step.measured is None for step in fast.report().steps)
    for word in ("stem", "conv2d", fused.kernel, "native calls: 0"):
        assert word in str(report)


def test_memory(model: nn.Module, x: Tensor) -> None:
    fast = cnnext.optimize(model, x, warmup=[(1, 3, 9, 9), x])
    assert fast.memory()["plans"] == 2
    assert fast.memory()["packed"] > 0
    assert fast.memory()["call"] > 0
    for width in range(8, 108):
        fast(torch.randn(1, 3, 8, width))
    assert fast.memory()["plans"] == 16


def test_inside_of_others(model: nn.Module, x: Tensor) -> None:
    outer = nn.Sequential(cnnext.optimize(model, x), nn.Softmax(1)).eval()
    check(outer, nn.Sequential(model, nn.Softmax(1)), x)
    with torch.inference_mode():
        assert outer(x).is_inference()
    compiled = torch.compile(outer, backend="eager")
    check(compiled, outer, x)


def test_threads(model: nn.Module) -> None:
    fast = cnnext.optimize(model)
    inputs = [torch.randn(1 + i % 3, 3, 12, 10) for i in range(8)]
    expected = [fast(each) for each in inputs]
    wrong = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(30) if not torch.equal(fast(inputs[i]), expected[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not wrong


def test_a_copy_of_an_input_is_one() -> None:
    class Copies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.clone(), self.conv(x)

    x = torch.randn(1, 3, 8, 8)
    copy, _ = cnnext.optimize(Copies().eval(), x)(x)
    assert torch.equal(copy, x)
    assert copy.data_ptr() != x.data_ptr()


@pytest.mark.filterwarnings("ignore:cnnext.optimize uses native PyTorch")
def test_a_model_that_was_cast_is_pytorchs() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    x = torch.randn(1, 3, 8, 8)
    fast = cnnext.optimize(model, x)
    model.double()
    with pytest.raises(RuntimeError, match="(?i)double"):
        fast(x)
    torch.testing.assert_close(fast(x.double()), model(x.double()))
    model.float()
    torch.testing.assert_close(fast(x), model(x))
