// SPDX-License-Identifier: BSD-3-Clause
// A prologue as a dictionary of its fields: {"scale": array, "shift": array, "relu": True}, of
// which only a scale must be there. It has one for each channel, or for each image and channel.
#pragma once

#include <optional>
#include <string>

#include "common/kernel/prologue.h"
#include "common/numpy/bindings.h"

namespace cnnext {

// With its arrays, which live as long as this.
template <class T>
class OwnedPrologue {
 public:
  OwnedPrologue(const py::dict& fields, int64_t images, int64_t channels) {
    for (const std::pair<py::handle, py::handle>& field : fields) {
      const py::handle value = field.second;
      const std::string name = field.first.cast<std::string>();
      if (name == "scale") {
        const auto scale = value.cast<py::array>();
        prologue_.scale_image = scale.size() == channels ? 0 : channels;
        const int64_t size = scale.size() == channels ? channels : images * channels;
        scale_.emplace(input<T>({"scale", size}, scale));
      } else if (name == "shift") {
        shift_.emplace(input<T>({"shift", channels}, value.cast<py::array>()));
      } else if (name == "relu") {
        prologue_.relu = value.cast<bool>();
      } else {
        throw py::type_error("a prologue has no field '" + name + "'");
      }
    }
    if (!fields.empty() && !scale_.has_value()) throw py::type_error("a prologue needs a scale");
    prologue_.scale = data_or_null(scale_);
    prologue_.shift = data_or_null(shift_);
  }

  const Prologue<T>& get() const { return prologue_; }

 private:
  Prologue<T> prologue_;
  std::optional<Input<T>> scale_, shift_;
};

}  // namespace cnnext
