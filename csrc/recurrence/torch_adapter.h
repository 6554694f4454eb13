// SPDX-License-Identifier: BSD-3-Clause
// recurrence for torch tensors on any device.
#pragma once

#include <tuple>
#include <vector>

#include "common/torch/product.h"
#include "common/torch/results.h"
#include "recurrence/recurrence.h"

namespace cnnext {
namespace recurrence {

inline CellKind check_cell(int64_t cell) {
  CNNEXT_CHECK(cell >= 0 && cell <= static_cast<int64_t>(CellKind::rnn_relu),
               "cell must be 0 to 3, but is ", cell);
  return static_cast<CellKind>(cell);
}

inline void check_matrix(const Tensor& t, int64_t rows, int64_t columns, const Tensor& like,
                         const char* name) {
  check_like(t, like, name);
  check_shape(t, {rows, columns}, name);
}

// A dense matrix of that size, if there is one.
inline std::optional<Tensor> dense_matrix(const std::optional<Tensor>& t, int64_t rows,
                                          int64_t columns, const Tensor& like, const char* name) {
  if (!t.has_value()) return std::nullopt;
  check_matrix(*t, rows, columns, like, name);
  return dense(*t);
}

inline std::optional<Tensor> dense_vector(const std::optional<Tensor>& t, int64_t size,
                                          const Tensor& like, const char* name) {
  if (!t.has_value()) return std::nullopt;
  check_like(*t, like, name);
  check_shape(*t, {size}, name);
  return dense(*t);
}

// Which rows belong to which step.
struct Steps {
  int64_t count;
  std::vector<int64_t> offsets;  // empty: `batch` rows each

  const int64_t* data() const { return offsets.empty() ? nullptr : offsets.data(); }
};

inline Steps check_steps(const std::optional<Tensor>& batch_sizes, int64_t rows, int64_t batch) {
  if (!batch_sizes.has_value()) {
    CNNEXT_CHECK(batch > 0, "the number of sequences must be positive, but is ", batch);
    CNNEXT_CHECK(rows % batch == 0, "the rows of input must be a multiple of the ", batch,
                 " sequences, but there are ", rows);
    return {rows / batch, {}};
  }
  check_dim(*batch_sizes, 1, "batch_sizes");
  CNNEXT_CHECK(batch_sizes->scalar_type() == ScalarType::Long,
               "batch_sizes must have dtype Long, but has ", batch_sizes->scalar_type());
  CNNEXT_CHECK(batch_sizes->is_cpu(), "batch_sizes must be on cpu, but is on ",
               device_text(*batch_sizes));
  const Tensor sizes = dense(*batch_sizes);
  check_allocated(sizes);
  const int64_t* const size = static_cast<const int64_t*>(sizes.const_data_ptr());
  Steps steps{sizes.size(0), {0}};
  for (int64_t t = 0, max_rows = batch; t < steps.count; max_rows = size[t++]) {
    CNNEXT_CHECK(size[t] > 0 && size[t] <= max_rows && (t > 0 || size[t] == batch),
                 "batch_sizes must descend from ", batch, " and stay positive, but batch_sizes[", t,
                 "] is ", size[t]);
    steps.offsets.push_back(steps.offsets.back() + size[t]);
  }
  CNNEXT_CHECK(steps.offsets.back() == rows, "batch_sizes must add up to the rows of input, ", rows,
               ", but add up to ", steps.offsets.back());
  return steps;
}

// What the forward pass reads, dense.
struct Inputs {
  Tensor x, h0, w_ih, w_hh;
  std::optional<Tensor> c0, b_ih, b_hh;
};

// Operands that fit the shape; `h` and `c` are what messages call the states.
inline Inputs check_inputs(const RecurrenceShape& s, const Tensor& input, const Tensor& h0,
                           const std::optional<Tensor>& c0, const Tensor& w_ih, const Tensor& w_hh,
                           const std::optional<Tensor>& b_ih, const std::optional<Tensor>& b_hh,
                           const char* h, const char* c) {
  CNNEXT_CHECK(c0.has_value() || s.cell != CellKind::lstm, c,
               " must be given for LSTM, but is None");
  CNNEXT_CHECK(!c0.has_value() || s.cell == CellKind::lstm, c,
               " is only valid for LSTM, but is given for cell ", static_cast<int>(s.cell));
  CNNEXT_CHECK(b_ih.has_value() == b_hh.has_value(), "b_ih and b_hh must be given together, but ",
               b_ih.has_value() ? "b_hh" : "b_ih", " is None");
  check_matrix(h0, s.batch, s.hidden, input, h);
  check_matrix(w_ih, s.gates() * s.hidden, s.input, input, "w_ih");
  check_matrix(w_hh, s.gates() * s.hidden, s.hidden, input, "w_hh");
  return {dense(input),
          dense(h0),
          dense(w_ih),
          dense(w_hh),
          dense_matrix(c0, s.batch, s.hidden, input, c),
          dense_vector(b_ih, s.gates() * s.hidden, input, "b_ih"),
          dense_vector(b_hh, s.gates() * s.hidden, input, "b_hh")};
}

// What the forward pass writes, without the results that the caller did not ask for.
struct Results {
  Tensor y;
  std::optional<Tensor> h_n, c_n, workspace, state;
};

// Null for a result that is missing or has no elements; kernels do not write it.
template <class T, class Device>
T* write_if_any(const Device& device, const std::optional<Tensor>& t) {
  return t.has_value() && t->numel() > 0 ? device.template write<T>(*t) : nullptr;
}

template <class Device>
void compute_forward(const RecurrenceShape& s, const Steps& steps, bool reverse, const Inputs& in,
                     const Results& results) {
  if (results.y.numel() == 0) return;
  Device::with_element_type(in.x, [&](auto zero) {
    using T = decltype(zero);
    const Device device(results.y);
    RecurrenceOperands<T> o{};
    o.offsets = steps.data();
    o.reverse = reverse;
    o.h0 = device.template read<T>(in.h0);
    o.c0 = device.template read<T>(in.c0);
    o.b_ih = device.template read<T>(in.b_ih);
    o.b_hh = device.template read<T>(in.b_hh);
    o.y = device.template write<T>(results.y);
    o.h_n = write_if_any<T>(device, results.h_n);
    o.c_n = write_if_any<T>(device, results.c_n);
    o.workspace = write_if_any<T>(device, results.workspace);
    o.state = write_if_any<T>(device, results.state);
    if constexpr (Device::kMultipliesByAten) {
      const Tensor x_product = product(in.x, transposed(in.w_ih));
      const Tensor h_product = product(in.h0, transposed(in.w_hh));
      o.x_product = device.template read<T>(x_product);
      o.h_product = device.template read<T>(h_product);
      device.template compute<Recurrence>(Pass::forward, s, o);
    } else {
      o.x = device.template read<T>(in.x);
      o.w_ih = device.template read<T>(in.w_ih);
      o.w_hh = device.template read<T>(in.w_hh);
      device.template compute<Recurrence>(Pass::forward, s, o);
    }
  });
}

// Returns y, h_n and c_n, and, if `saves`, the workspace and the state that the backward pass
// needs; what the cell does not have is empty.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> forward(
    int64_t cell, const Tensor& input, const Tensor& h0, const std::optional<Tensor>& c0,
    const Tensor& w_ih, const Tensor& w_hh, const std::optional<Tensor>& b_ih,
    const std::optional<Tensor>& b_hh, const std::optional<Tensor>& batch_sizes, bool reverse,
    bool saves) {
  check_dim(input, 2, "input");
  check_dim(h0, 2, "h0");
  CNNEXT_CHECK(input.size(0) > 0, "input must have at least one row, but has shape ",
               shape_text(input));
  const Steps steps = check_steps(batch_sizes, input.size(0), h0.size(0));
  const RecurrenceShape s{check_cell(cell), steps.count,   input.size(0),
                          h0.size(0),       input.size(1), h0.size(1)};
  const Inputs in = check_inputs(s, input, h0, c0, w_ih, w_hh, b_ih, b_hh, "h0", "c0");
  const int64_t saved_rows = saves ? s.rows : 0;
  const Tensor y = empty_2d(s.rows, s.hidden, input);
  const Tensor h_n = empty_2d(s.batch, s.hidden, input);
  const Tensor c_n = empty_2d(s.cell == CellKind::lstm ? s.batch : 0, s.hidden, input);
  const Tensor workspace = empty_2d(saved_rows, workspace_blocks_of(s.cell) * s.hidden, input);
  const Tensor state = empty_2d(saved_rows, s.hidden, input);
  compute_forward<Device>(s, steps, reverse, in, {y, h_n, c_n, workspace, state});
  return {y, h_n, c_n, workspace, state};
}

// What the backward pass reads, dense.
struct Saved {
  Tensor workspace, state;
  std::optional<Tensor> h0, w_hh, dy, dh_n, dc_n;
};

// What the backward pass writes.
struct Gradients {
  Tensor u;
  std::optional<Tensor> u_hh, h_before, dh0, dc0;
};

template <class Device>
void compute_backward(const RecurrenceShape& s, const Steps& steps, bool reverse,
                      const Saved& saved, const Gradients& gradients) {
  if (gradients.u.numel() == 0) return;
  Device::with_element_type(saved.state, [&](auto zero) {
    using T = decltype(zero);
    const Device device(gradients.u);
    RecurrenceOperands<T> o{};
    o.offsets = steps.data();
    o.reverse = reverse;
    o.saved_workspace = device.template read<T>(saved.workspace);
    o.saved_state = device.template read<T>(saved.state);
    o.h0 = device.template read<T>(saved.h0);
    o.w_hh = device.template read<T>(saved.w_hh);
    o.dy = device.template read<T>(saved.dy);
    o.dh_n = device.template read<T>(saved.dh_n);
    o.dc_n = device.template read<T>(saved.dc_n);
    o.u = device.template write<T>(gradients.u);
    o.u_hh = write_if_any<T>(device, gradients.u_hh);
    o.h_before = write_if_any<T>(device, gradients.h_before);
    o.dh0 = write_if_any<T>(device, gradients.dh0);
    o.dc0 = write_if_any<T>(device, gradients.dc0);
    device.template compute<Recurrence>(Pass::backward, s, o);
  });
}

// Returns u, u_hh, h_before, dh0 and dc0; what the cell does not have is empty, and so is h_before
// without h0. Without w_hh, of a single step, dh0 is undefined.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    int64_t cell, const std::optional<Tensor>& grad_output, const std::optional<Tensor>& grad_h_n,
    const std::optional<Tensor>& grad_c_n, const Tensor& workspace, const Tensor& state,
    const std::optional<Tensor>& h0, const std::optional<Tensor>& w_hh,
    const std::optional<Tensor>& batch_sizes, int64_t batch, bool reverse) {
  check_dim(state, 2, "state");
  const Steps steps = check_steps(batch_sizes, state.size(0), batch);
  const RecurrenceShape s{check_cell(cell), steps.count,      state.size(0), batch, 0,
                          state.size(1),    !w_hh.has_value()};
  const bool has_c = s.cell == CellKind::lstm, has_u_hh = s.cell == CellKind::gru;
  check_matrix(workspace, s.rows, workspace_blocks_of(s.cell) * s.hidden, state, "workspace");
  CNNEXT_CHECK(w_hh.has_value() || s.steps == 1,
               "w_hh must be given for more than one step, but is None for ", s.steps, " steps");
  CNNEXT_CHECK(!h0.has_value() || !has_u_hh, "h0 must be None for GRU, but has shape ",
               shape_text(*h0));
  CNNEXT_CHECK(has_c || !grad_c_n.has_value(),
               "grad_c_n is only valid for LSTM, but is given for cell ", cell);
  const Saved saved{dense(workspace),
                    dense(state),
                    dense_matrix(h0, batch, s.hidden, state, "h0"),
                    dense_matrix(w_hh, s.gates() * s.hidden, s.hidden, state, "w_hh"),
                    dense_matrix(grad_output, s.rows, s.hidden, state, "grad_output"),
                    dense_matrix(grad_h_n, batch, s.hidden, state, "grad_h_n"),
                    dense_matrix(grad_c_n, batch, s.hidden, state, "grad_c_n")};
  const Tensor u = empty_2d(s.rows, s.gates() * s.hidden, state);
  const Tensor u_hh = empty_2d(has_u_hh ? s.rows : 0, s.gates() * s.hidden, state);
  const Tensor h_before = empty_2d(h0.has_value() ? s.rows : 0, s.hidden, state);
  const Tensor dh0 = empty_2d(batch, s.hidden, state);
  const Tensor dc0 = empty_2d(has_c ? batch : 0, s.hidden, state);
  compute_backward<Device>(s, steps, reverse, saved, {u, u_hh, h_before, dh0, dc0});
  return {u, u_hh, h_before, dh0, dc0};
}

inline void define_operators(StableLibrary& m) {
#define CNNEXT_FORWARD_SCHEMA(name)                                                     \
  name "(int cell, Tensor input, Tensor h0, Tensor? c0, Tensor w_ih, Tensor w_hh, "     \
       "Tensor? b_ih, Tensor? b_hh, Tensor? batch_sizes, bool reverse, bool saves) -> " \
       "(Tensor, Tensor, Tensor, Tensor, Tensor)"
  m.def(CNNEXT_FORWARD_SCHEMA("recurrence"));
  m.def(CNNEXT_FORWARD_SCHEMA("recurrence_forward"));
#undef CNNEXT_FORWARD_SCHEMA
  m.def(
      "recurrence_backward(int cell, Tensor? grad_output, Tensor? grad_h_n, Tensor? grad_c_n, "
      "Tensor workspace, Tensor state, Tensor? h0, Tensor? w_hh, Tensor? batch_sizes, SymInt "
      "batch, "
      "bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("recurrence", TORCH_BOX(&forward<Device>));
  m.impl("recurrence_forward", TORCH_BOX(&forward<Device>));
  m.impl("recurrence_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace recurrence
}  // namespace cnnext
