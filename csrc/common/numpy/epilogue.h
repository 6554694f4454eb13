// SPDX-License-Identifier: BSD-3-Clause
// An epilogue as a dictionary of its fields, but for its arrays; those that it lacks have their
// defaults: {"activation": "clamp", "low": 0, "high": 6, "residual_after": True}.
#pragma once

#include <string>

#include "common/kernel/epilogue.h"
#include "common/numpy/bindings.h"

namespace cnnext {

inline Activation activation_named(const std::string& name) {
#define CNNEXT_IF_NAMED(activation) \
  if (name == #activation) return Activation::activation;
  CNNEXT_FOR_ACTIVATIONS(CNNEXT_IF_NAMED)
#undef CNNEXT_IF_NAMED
  throw py::value_error("there is no activation '" + name + "'");
}

template <class T>
Epilogue<T> read_epilogue(const py::dict& fields) {
  Epilogue<T> e;
  for (const std::pair<py::handle, py::handle>& field : fields) {
    const py::handle value = field.second;
    const std::string name = field.first.cast<std::string>();
    if (name == "activation") {
      e.activation = activation_named(value.cast<std::string>());
    } else if (name == "low") {
      e.parameters.low = value.cast<T>();
    } else if (name == "high") {
      e.parameters.high = value.cast<T>();
    } else if (name == "negative_slope") {
      e.parameters.negative_slope = value.cast<T>();
    } else if (name == "residual_pixel") {
      e.residual_pixel = value.cast<int64_t>();
    } else if (name == "residual_after") {
      e.residual_after = value.cast<bool>();
    } else {
      throw py::type_error("an epilogue has no field '" + name + "'");
    }
  }
  return e;
}

// What only the forward pass of an operator with weights is given.
struct ForwardArguments {
  std::optional<py::array> bias, residual;
  py::dict epilogue;
  int64_t x_pixel = 0, y_pixel = 0;  // pixel_distance of x and y
  py::dict prologue = {};
};

// The epilogue of y, of so many pixels and channels, with its arrays; they live as long as this.
template <class T>
class OwnedEpilogue {
 public:
  OwnedEpilogue(const ForwardArguments& given, int64_t pixels, int64_t channels, Layout layout)
      : epilogue_(read_epilogue<T>(given.epilogue)) {
    bias_ = input<T>({"b", channels}, given.bias);
    residual_ = input<T>(pixels_of("residual", pixels, channels, layout, epilogue_.residual_pixel),
                         given.residual);
    epilogue_.bias = data_or_null(bias_);
    epilogue_.residual = data_or_null(residual_);
  }

  const Epilogue<T>& get() const { return epilogue_; }

 private:
  Epilogue<T> epilogue_;
  std::optional<Input<T>> bias_, residual_;
};

}  // namespace cnnext
