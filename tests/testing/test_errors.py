"""The numerics contract accepts what it must and rejects, with figures, what it must."""

import math

import pytest
import torch

from cnnext.testing import errors
from cnnext.testing.errors import (
    INPUT_KINDS,
    SPARSITY,
    assert_bitwise_equal,
    assert_contract,
    check_contract,
    gradient_error,
    make_input,
    measure,
)

INF, NAN = math.inf, math.nan


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def f32(*values):
    return torch.tensor(values, dtype=torch.float32)


class TestInputs:
    @pytest.mark.parametrize("kind", INPUT_KINDS)
    def test_same_seed_same_values_in_every_dtype(self, kind):
        draws = [
            make_input(kind, (3, 5), torch.Generator().manual_seed(7), dtype)
            for dtype in (torch.float32, torch.float64)
        ]
        assert [draw.dtype for draw in draws] == [torch.float32, torch.float64]
        assert torch.equal(draws[0], draws[1].float())

    def test_classes_are_what_their_names_say(self):
        generator = torch.Generator().manual_seed(0)
        normal, post_relu, uniform, sparse = (
            make_input(kind, (20_000,), generator)
            for kind in ("normal", "post_relu", "uniform", "sparse90")
        )
        assert normal.mean().abs() < 0.05
        assert post_relu.min() == 0
        assert 0.4 < (post_relu == 0).float().mean() < 0.6
        assert uniform.min() >= 0
        assert uniform.max() < 1
        assert abs((sparse == 0).float().mean() - SPARSITY) < 0.02

    def test_unknown_class(self):
        with pytest.raises(ValueError, match="kind must be one of normal, .*got 'odd'"):
            make_input("odd", (1,), torch.Generator())


class TestMeasure:
    def test_figures(self):
        result = measure(f32(1, 2, 3.5), f64(1, 2, 4))
        assert result.max == 0.5
        assert result.rms == pytest.approx(0.5 / math.sqrt(3))
        assert result.max_ref == 4
        assert result.relative == 0.125
        assert result.worst == (2,)

    def test_index_of_the_worst_value_in_two_dimensions(self):
        actual = torch.zeros(3, 4)
        actual[2, 1] = 1
        assert measure(actual, torch.zeros(3, 4, dtype=torch.float64)).worst == (2, 1)

    @pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
    def test_empty(self, shape):
        assert measure(torch.empty(shape), torch.empty(shape, dtype=torch.float64)).max == 0

    def test_scalar(self):
        assert measure(torch.tensor(1.0), torch.tensor(1.5, dtype=torch.float64)).max == 0.5

    def test_equal_infinities_and_nans_are_no_error(self):
        result = measure(f32(INF, -INF, NAN, 1), f64(INF, -INF, NAN, 1))
        assert result.max == 0
        assert result.max_ref == 1

    @pytest.mark.parametrize(
        ("actual", "reference"), [(1, NAN), (NAN, 1), (INF, NAN), (INF, -INF), (INF, 1), (1, INF)]
    )
    def test_other_infinities_and_nans_are_infinite_errors(self, actual, reference):
        assert measure(f32(actual, 0), f64(reference, 0)).max == INF

    def test_shapes_must_agree(self):
        with pytest.raises(AssertionError, match=r"shape \(2,\) differs .* \(1,\)"):
            measure(f32(1, 2), f64(1))

    def test_reference_must_be_float64(self):
        with pytest.raises(TypeError, match="must be float64"):
            measure(f32(1), f32(1))

    def test_takes_tensors_with_gradients(self):
        assert measure(f32(1).requires_grad_(), f64(1).requires_grad_()).max == 0


class TestContract:
    reference = f64(*range(1, 1001))

    def result(self, error, places=1):
        """The reference with an absolute error at some places."""
        values = self.reference.clone()
        values[:places] += error
        return values

    def test_native_itself_is_within(self):
        native = self.reference.float() + 1e-3
        assert check_contract(native, native, self.reference).ok

    @pytest.mark.parametrize(("layers", "more"), [(1, 1), (9, 3)])
    def test_limits_are_those_of_the_contract(self, layers, more):
        verdict = check_contract(self.reference, self.result(1e-3), self.reference, layers=layers)
        assert verdict.max_limit == pytest.approx(2 * 1e-3 + more * 2e-6 * 1000)
        rms = 1e-3 / math.sqrt(1000)
        rms_ref = self.reference.square().mean().sqrt().item()
        assert verdict.rms_limit == pytest.approx(1.5 * rms + more * 8e-7 * rms_ref)

    def test_single_large_error_breaks_the_maximum(self):
        error = 1.01 * check_contract(self.reference, self.reference, self.reference).max_limit
        assert not check_contract(self.result(error), self.reference, self.reference).ok

    def test_many_small_errors_break_the_mean_square(self):
        error = 0.9 * check_contract(self.reference, self.reference, self.reference).max_limit
        assert check_contract(self.result(error), self.reference, self.reference).ok
        everywhere = self.result(error, places=1000)
        assert not check_contract(everywhere, self.reference, self.reference).ok

    def test_native_failure_excuses_nothing(self):
        assert not check_contract(f32(NAN, 1), f32(NAN, 1), f64(0, 1)).ok

    def test_message_has_the_figures(self):
        with pytest.raises(AssertionError) as failure:
            assert_contract(self.result(0.5), self.reference, self.reference, what="conv 3x3")
        text = str(failure.value)
        assert text.startswith("conv 3x3 breaks the numerics contract")
        for part in ("max|err| 5.000e-01", "limit 2.000e-03", "index (0,)", "rms(err)"):
            assert part in text

    def test_message_of_a_wrong_shape_says_what(self):
        with pytest.raises(AssertionError, match="conv 3x3: shape"):
            assert_contract(f32(1, 2), f32(1), f64(1), what="conv 3x3")


class TestBitwise:
    def test_equal_bits(self):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8):
            values = torch.arange(5).to(dtype)
            assert_bitwise_equal(values, values.clone())
        assert_bitwise_equal(f32(NAN, -0.0, INF), f32(NAN, -0.0, INF))
        assert_bitwise_equal(torch.empty(0, 2), torch.empty(0, 2))

    def test_strides_do_not_matter(self):
        image = torch.randn(2, 3, 4, 5)
        assert_bitwise_equal(image.contiguous(memory_format=torch.channels_last), image)

    @pytest.mark.parametrize(("actual", "expected"), [(0.0, -0.0), (NAN, 1.0), (1.0, 1.0000001)])
    def test_other_bits(self, actual, expected):
        with pytest.raises(AssertionError, match=r"pool: 1 of 2 values differ.*index \(1,\)"):
            assert_bitwise_equal(f32(5, actual), f32(5, expected), what="pool")

    def test_other_dtype_or_shape(self):
        with pytest.raises(AssertionError, match="dtype is torch.float32, expected torch.float64"):
            assert_bitwise_equal(f32(1), f64(1))
        with pytest.raises(AssertionError, match="shape is"):
            assert_bitwise_equal(f32(1), f32(1, 2))

    def test_unsupported_dtype(self):
        values = torch.zeros(1, dtype=torch.complex128)
        with pytest.raises(TypeError, match="no bitwise comparison for torch.complex128"):
            assert_bitwise_equal(values, values)


class TestGradientError:
    def test_is_the_norm_of_all_tensors_together(self):
        error = gradient_error([f32(3, 0), f32(0)], [f64(0, 0), f64(4)])
        assert error == pytest.approx(5 / 4)

    def test_zero_reference(self):
        assert gradient_error([f32(0)], [f64(0)]) == 0
        assert gradient_error([f32(2)], [f64(0)]) == 2

    def test_counts_must_agree(self):
        with pytest.raises(ValueError, match="zip"):
            gradient_error([f32(0)], [])

    def test_a_missing_factor_is_above_the_tolerance(self):
        gradients = [f64(1, 2, 3)]
        assert gradient_error([2 * gradients[0]], gradients) > errors.GRADIENT_TOLERANCE
