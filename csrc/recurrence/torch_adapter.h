// SPDX-License-Identifier: BSD-3-Clause
// recurrence for torch tensors on any device.
#pragma once

#include <tuple>
#include <vector>

#include "common/torch/checks.h"
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
  check_dim(t, 2, name);
  check_like(t, like, name);
  CNNEXT_CHECK(t.size(0) == rows && t.size(1) == columns, name, " must be ", rows, " x ", columns,
               ", but is ", t.size(0), " x ", t.size(1));
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
  check_dim(*t, 1, name);
  check_like(*t, like, name);
  CNNEXT_CHECK(t->size(0) == size, name, " must have ", size, " elements, but has ", t->size(0));
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
    CNNEXT_CHECK(batch > 0 && rows % batch == 0, "input must have as many rows for each of ", batch,
                 " sequences, but has ", rows);
    return {rows / batch, {}};
  }
  check_dim(*batch_sizes, 1, "batch_sizes");
  CNNEXT_CHECK(batch_sizes->is_cpu() && batch_sizes->scalar_type() == ScalarType::Long,
               "batch_sizes must be int64 on the CPU");
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

// Returns y, h_n and c_n, and, if `saves`, the slots and the state that the backward pass needs;
// what the cell does not have is empty.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> forward(
    int64_t cell, const Tensor& input, const Tensor& h0, const std::optional<Tensor>& c0,
    const Tensor& w_ih, const Tensor& w_hh, const std::optional<Tensor>& b_ih,
    const std::optional<Tensor>& b_hh, const std::optional<Tensor>& batch_sizes, bool reverse,
    bool saves) {
  check_dim(input, 2, "input");
  check_dim(h0, 2, "h0");
  CNNEXT_CHECK(input.size(0) > 0, "input must have at least one row");
  const Steps steps = check_steps(batch_sizes, input.size(0), h0.size(0));
  const RecurrenceShape s{check_cell(cell), steps.count,   input.size(0),
                          h0.size(0),       input.size(1), h0.size(1)};
  const bool has_c = s.cell == CellKind::lstm;
  CNNEXT_CHECK(c0.has_value() == has_c, "c0 is for the LSTM, and only for that");
  CNNEXT_CHECK(b_ih.has_value() == b_hh.has_value(), "b_ih and b_hh must be given together");
  check_matrix(h0, s.batch, s.hidden, input, "h0");
  check_matrix(w_ih, s.gates() * s.hidden, s.input, input, "w_ih");
  check_matrix(w_hh, s.gates() * s.hidden, s.hidden, input, "w_hh");
  const Inputs in{dense(input),
                  dense(h0),
                  dense(w_ih),
                  dense(w_hh),
                  dense_matrix(c0, s.batch, s.hidden, input, "c0"),
                  dense_vector(b_ih, s.gates() * s.hidden, input, "b_ih"),
                  dense_vector(b_hh, s.gates() * s.hidden, input, "b_hh")};
  const Tensor y = empty_2d(s.rows, s.hidden, input);
  const Tensor h_n = empty_2d(s.batch, s.hidden, input);
  const Tensor c_n = empty_2d(has_c ? s.batch : 0, s.hidden, input);
  const int64_t saved_slots = saved_slots_of(s.cell);
  const Tensor slots = empty_2d(saves ? s.rows : 0, saved_slots * s.hidden, input);
  const Tensor state = empty_2d(saves ? s.rows : 0, s.hidden, input);
  if (y.numel() > 0) {
    Device::with_element_type(input, [&](auto zero) {
      using T = decltype(zero);
      const Device device(y);
      RecurrenceOperands<T> o{};
      o.offsets = steps.data();
      o.reverse = reverse;
      o.y = device.template write<T>(y);
      o.h_n = device.template write<T>(h_n);
      o.c_n = device.template write<T>(c_n);
      if (slots.numel() > 0) o.slots = device.template write<T>(slots);
      if (state.numel() > 0) o.state = device.template write<T>(state);
      device.forward(s, in, o);
    });
  }
  return {y, h_n, c_n, slots, state};
}

// Returns u, u_hh, h_before, dh0 and dc0; what the cell does not have is empty, and so is h_before
// without h0. Without w_hh, of a single step, dh0 is undefined.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    int64_t cell, const std::optional<Tensor>& grad_output, const std::optional<Tensor>& grad_h_n,
    const std::optional<Tensor>& grad_c_n, const Tensor& slots, const Tensor& state,
    const std::optional<Tensor>& h0, const std::optional<Tensor>& w_hh,
    const std::optional<Tensor>& batch_sizes, int64_t batch, bool reverse) {
  check_dim(state, 2, "state");
  const Steps steps = check_steps(batch_sizes, state.size(0), batch);
  const RecurrenceShape s{check_cell(cell), steps.count, state.size(0), batch, 0, state.size(1)};
  const bool has_c = s.cell == CellKind::lstm, has_u_hh = s.cell == CellKind::gru;
  const int64_t saved_slots = saved_slots_of(s.cell);
  check_matrix(slots, s.rows, saved_slots * s.hidden, state, "slots");
  CNNEXT_CHECK(w_hh.has_value() || s.steps == 1, "w_hh must be given for more than one step");
  CNNEXT_CHECK(!h0.has_value() || !has_u_hh, "h0 is not for the GRU, whose state has h");
  CNNEXT_CHECK(has_c || !grad_c_n.has_value(), "grad_c_n is for the LSTM only");
  const std::optional<Tensor> dy =
      dense_matrix(grad_output, s.rows, s.hidden, state, "grad_output");
  const std::optional<Tensor> dh_n = dense_matrix(grad_h_n, batch, s.hidden, state, "grad_h_n");
  const std::optional<Tensor> dc_n = dense_matrix(grad_c_n, batch, s.hidden, state, "grad_c_n");
  const std::optional<Tensor> h0_in = dense_matrix(h0, batch, s.hidden, state, "h0");
  const std::optional<Tensor> w_hh_in =
      dense_matrix(w_hh, s.gates() * s.hidden, s.hidden, state, "w_hh");
  const Tensor slots_in = dense(slots), state_in = dense(state);
  const Tensor u = empty_2d(s.rows, s.gates() * s.hidden, state);
  const Tensor u_hh = empty_2d(has_u_hh ? s.rows : 0, s.gates() * s.hidden, state);
  const Tensor h_before = empty_2d(h0.has_value() ? s.rows : 0, s.hidden, state);
  const Tensor dh0 = empty_2d(batch, s.hidden, state);
  const Tensor dc0 = empty_2d(has_c ? batch : 0, s.hidden, state);
  if (u.numel() > 0) {
    Device::with_element_type(state, [&](auto zero) {
      using T = decltype(zero);
      const Device device(u);
      RecurrenceOperands<T> o{};
      o.offsets = steps.data();
      o.reverse = reverse;
      o.saved_slots = device.template read<T>(slots_in);
      o.saved_state = device.template read<T>(state_in);
      o.h0 = device.template read<T>(h0_in);
      o.w_hh = device.template read<T>(w_hh_in);
      o.dy = device.template read<T>(dy);
      o.dh_n = device.template read<T>(dh_n);
      o.dc_n = device.template read<T>(dc_n);
      o.u = device.template write<T>(u);
      if (has_u_hh) o.u_hh = device.template write<T>(u_hh);
      if (h0.has_value()) o.h_before = device.template write<T>(h_before);
      o.dh0 = device.template write<T>(dh0);
      o.dc0 = device.template write<T>(dc0);
      device.backward(s, o);
    });
  }
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
      "Tensor slots, Tensor state, Tensor? h0, Tensor? w_hh, Tensor? batch_sizes, SymInt batch, "
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
