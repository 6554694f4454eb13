// SPDX-License-Identifier: BSD-3-Clause
#include "plan/bands.h"

#include <algorithm>
#include <cstring>

#include "common/kernel/machine.h"
#include "conv2d/exact_sums.h"
#include "plan/builder.h"
#include "plan/products.h"

namespace cnnext {
namespace plan {
namespace {

// "conv2d_pointwise+depthwise_f32_avx512"
std::string joined_names(const std::vector<BandsStep::Member>& members) {
  const size_t prefix = std::string("conv2d_").size();
  std::string names;
  for (const BandsStep::Member& member : members) {
    const std::string name = member.kernel->name;
    const size_t suffix = name.rfind("_f32");
    if (!names.empty()) names.resize(names.rfind("_f32"));
    names +=
        names.empty() ? name : "+" + name.substr(prefix, suffix - prefix) + name.substr(suffix);
  }
  return names;
}

int64_t end(const RowRange& rows) { return rows.first + rows.count; }

// The rows of x that rows of y are made of.
RowRange rows_read(const Conv2dShape& s, const RowRange& y) {
  const int64_t first = y.first * s.stride_h - s.pad_h;
  const int64_t last = (end(y) - 1) * s.stride_h - s.pad_h + (s.k_h - 1) * s.dilation_h;
  const int64_t begin = std::clamp<int64_t>(first, 0, s.h_in);
  return {begin, std::clamp<int64_t>(last + 1, begin, s.h_in) - begin};
}

int64_t row_floats(const Conv2dShape& s) { return s.w_out() * s.c_out; }

bool is_depthwise(const Conv2dShape& s) {
  return s.groups > 1 && s.groups == s.c_in && s.groups == s.c_out;
}

bool is_pointwise(const Conv2dShape& s) {
  return s.groups == 1 && s.k_h == 1 && s.k_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_h == 0 && s.pad_w == 0;
}

// What bands keep of a value, and all that belongs to them, shares a core's cache with the weights.
int64_t max_band_bytes() { return machine().l2 / 2; }

// Whether so much of an image, beside all else, leaves the caches of all cores before it is read.
bool is_wide(const Conv2dShape& s, int threads) {
  const int64_t bytes = 4 * s.h_out() * row_floats(s);
  return bytes > threads * machine().l2 / 4;
}

// Whether the second convolution can take the first one's result in bands, with some use: every
// thread has a row, and what a row of the second needs of the first fits the cache.
bool links(const Conv2dShape& first, const Conv2dShape& second, int64_t images, int threads) {
  const bool fits =
      4 * ((second.k_h - 1) * second.dilation_h + 1) * row_floats(first) <= max_band_bytes();
  return images * second.h_out() >= threads && fits &&
         ((is_depthwise(second) && first.groups == 1) ||
          (is_depthwise(first) && is_pointwise(second)));
}

Conv2dShape by_rows(Conv2dShape s) {
  s.n = 1;
  s.y_rows = {0, s.h_out()};
  return s;
}

// Transforms may not be had of some rows.
const SelectOptions kByRows{Packing::ahead, Transforms::none};

// Whether the kernels that can compute some rows take not much longer than the best ones.
bool is_fast_by_rows(const Convolution& c) {
  constexpr double kSlower = 1.1;
  const SelectOptions options{Packing::ahead, transforms_of_filter(c.shape, c.operands)};
  const auto seconds = [](const Conv2dShape& s, const SelectOptions& how) {
    return predicted_seconds(select_conv2d<float>(Pass::forward, s, 1, how), s, 1, how);
  };
  Conv2dShape one = c.shape;
  one.n = 1;
  return seconds(by_rows(c.shape), kByRows) <= kSlower * seconds(one, options);
}

}  // namespace

// --------------------------------------------------------------------------------------- running

BandsStep::BandsStep(std::vector<Member> members, int64_t images, int num_threads, const Place& x,
                     const Place& residual, const Place& y)
    : members_(std::move(members)), images_(images), x_(x), residual_(residual), y_(y) {
  const int64_t rows = members_.back().shape.h_out();
  const auto value_bytes = [&](const Band& band, size_t member) {
    return round_up(4 * band.rows[member].count * row_floats(members_[member].shape), 64);
  };
  const auto bytes_of = [&](const Band& band) {
    int64_t bytes = 0;
    for (size_t i = 0; i + 1 < members_.size(); ++i) bytes += value_bytes(band, i);
    return bytes;
  };
  threads = num_threads;
  // As many bands for each thread, of as many rows as fit; those in the middle need the most.
  int64_t count = min(rows, threads);
  while (count < rows && bytes_of(band(count / 2, count)) > max_band_bytes()) {
    count = min(rows, count + threads);
  }
  for (int64_t i = 0; i < count; ++i) bands_.push_back(band(i, count));

  for (size_t i = 0; i + 1 < members_.size(); ++i) {
    value_offsets_.push_back(plan_offset_);
    int64_t bytes = 0;
    for (const Band& band : bands_) bytes = max(bytes, value_bytes(band, i));
    plan_offset_ += bytes;
  }
  for (const Band& band : bands_) {
    for (const std::vector<Part>* parts : {&band.all, &band.additional}) {
      for (const Part& part : *parts) {
        thread_bytes_ = max(thread_bytes_, plan_offset_ + running_scratch_bytes(part.plan, 1));
      }
    }
  }
  scratch_bytes = threads * thread_bytes_;
  kernel = joined_names(members_);
  for (const Member& member : members_) {
    const Cost cost = member.kernel->cost(member.shape, threads);
    seconds += cost.seconds - (member.packed == nullptr ? 0 : cost.packing);
  }
}

BandsStep::Band BandsStep::band(int64_t index, int64_t count) const {
  Band band;
  band.rows.resize(members_.size());
  const int64_t all = members_.back().shape.h_out(), first = all * index / count;
  band.rows.back() = {first, all * (index + 1) / count - first};
  for (size_t i = members_.size() - 1; i > 0; --i) {
    band.rows[i - 1] = rows_read(members_[i].shape, band.rows[i]);
  }
  for (size_t i = 0; i < members_.size(); ++i) {
    const auto part_of = [&](const RowRange& rows) {
      Part part{members_[i].shape, {}};
      part.shape.y_rows = rows;
      if (rows.count > 0) part.plan = members_[i].kernel->plan(part.shape, 1);
      return part;
    };
    band.all.push_back(part_of(band.rows[i]));
    const int64_t known = bands_.empty() ? band.rows[i].first : end(bands_.back().rows[i]);
    const int64_t begin = max(known, band.rows[i].first);
    band.additional.push_back(part_of({begin, max(0, end(band.rows[i]) - begin)}));
  }
  return band;
}

void BandsStep::run(const Memory& memory, unsigned char* scratch, const Parallel& parallel) const {
  const auto count = static_cast<int64_t>(bands_.size());
  const int64_t chunks = min(threads, images_ * count);
  parallel(chunks, [&](int64_t chunk) {
    const int64_t begin = images_ * count * chunk / chunks;
    const int64_t end = images_ * count * (chunk + 1) / chunks;
    for (int64_t i = begin; i < end; ++i) {
      const bool continues = i > begin && i % count > 0;
      run_band(memory, i / count, i % count, continues, scratch + chunk * thread_bytes_);
    }
  });
}

void BandsStep::run_band(const Memory& memory, int64_t image, int64_t index, bool continues,
                         unsigned char* memory_of_thread) const {
  const Band& band = bands_[index];
  const auto image_of = [&](const Place& place, int64_t pixels) {
    float* const first = memory.at(place);
    return first == nullptr ? nullptr : first + image * pixels * place.pixel;
  };
  const Conv2dShape& first = members_.front().shape;
  const float* x = image_of(x_, first.h_in * first.w_in);
  for (size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    Conv2dOperands<float> operands = member.operands;
    operands.first = x;
    if (i + 1 < members_.size()) {
      // The rows that the last band needed, too, move to the beginning.
      auto* const rows = reinterpret_cast<float*>(memory_of_thread + value_offsets_[i]);
      const int64_t row = row_floats(member.shape), first_row = band.rows[i].first;
      if (continues) {
        const RowRange& last = bands_[index - 1].rows[i];
        const int64_t kept = end(last) - first_row;
        if (kept > 0) {
          std::memmove(rows, rows + (first_row - last.first) * row, kept * row * sizeof(float));
        }
      }
      operands.result = rows - first_row * row;
    } else {
      const int64_t pixels = member.shape.h_out() * member.shape.w_out();
      operands.result = image_of(y_, pixels);
      operands.epilogue.residual = image_of(residual_, pixels);
    }
    const Part& part = (continues ? band.additional : band.all)[i];
    if (part.shape.y_rows.count > 0) {
      run_planned(*member.kernel, part.shape, part.plan, operands, member.packed.get(), 1,
                  memory_of_thread + plan_offset_, Alone());
    }
    x = operands.result;
  }
}

// -------------------------------------------------------------------------------------- building

std::vector<std::vector<size_t>> find_chains(const Graph& graph, const Builder& builder) {
  std::vector<std::vector<size_t>> chains(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) chains[i] = {i};
  if (!forced_kernel(Conv2d::kName).empty()) return chains;  // perhaps it takes whole images alone
  std::vector<int> uses(graph.values), maker(graph.values, -1);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    maker[graph.nodes[i].result] = static_cast<int>(i);
    for (const int value : graph.nodes[i].operands) ++uses[value];
  }
  for (const int value : graph.outputs) ++uses[value];

  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!takes_bands(node)) continue;
    const int value = node.operands[0], before = maker[value];
    if (before < 0 || uses[value] > 1) continue;
    const Node& made = graph.nodes[before];
    if (!takes_bands(made) || made.operands.size() > 1 || chains[before].empty()) continue;
    const Convolution first = convolution(made, builder), second = convolution(node, builder);
    const int threads = builder.threads();
    const bool pays =
        is_wide(first.shape, threads) || (chains[before].size() > 1 && is_pointwise(second.shape));
    constexpr size_t kLongest = 3;
    if (!pays || chains[before].size() == kLongest ||
        !links(first.shape, second.shape, first.shape.n, threads) || !is_fast_by_rows(first) ||
        !is_fast_by_rows(second)) {
      continue;
    }
    chains[i] = std::move(chains[before]);
    chains[i].push_back(i);
    chains[before].clear();
  }
  return chains;
}

void lower_chain(const Graph& graph, const std::vector<size_t>& chain, Builder& b) {
  const Node& first = graph.nodes[chain.front()];
  const Node& last = graph.nodes[chain.back()];
  const Place x = b.read(first.operands[0]);
  const Place residual = last.operands.size() > 1 ? b.read(last.operands[1]) : Place{};
  const Place y = b.write(last.result);
  std::vector<BandsStep::Member> members;
  std::string line;
  for (const size_t index : chain) {
    const Node& node = graph.nodes[index];
    Convolution c = convolution(node, b);
    c.shape.n = 1;
    const Conv2dShape rows = by_rows(c.shape);
    const Conv2dKernel<float>& kernel = select_conv2d<float>(Pass::forward, rows, 1, kByRows);
    if (&node == &first) c.operands.first_pixel = x.pixel;
    if (&node == &last) {
      c.operands.result_pixel = y.pixel;
      c.operands.epilogue.residual_pixel = residual.pixel;
    }
    members.push_back({&kernel, c.shape, c.operands,
                       b.packed<Conv2d>(kernel, rows, kernel.plan(rows, 1), c.operands, 1,
                                        node.integer("weight"), c.taps)});
    line += (line.empty() ? "" : "; ") + node.line();
  }
  const Extent& e = b.extent(last.result);
  b.add(line, std::make_unique<BandsStep>(std::move(members), e.n, b.threads(), x, residual, y),
        {x, residual}, y);
}

}  // namespace plan
}  // namespace cnnext
