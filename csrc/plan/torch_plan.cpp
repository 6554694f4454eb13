// SPDX-License-Identifier: BSD-3-Clause
// Networks for torch: each has a number, by which its owner calls it and lets it go.
#include <map>

#include "common/torch/checks.h"
#include "common/torch/parallel.h"
#include "common/torch/results.h"
#include "plan/network.h"
#include "plan/operators.h"

namespace cnnext {
namespace plan {
namespace {

// Tensors that weights were made from, and where they were. To ask hundreds of them from Python
// takes longer than some networks do.
class Watched {
 public:
  Watched() = default;
  explicit Watched(std::vector<Tensor> tensors) : tensors_(std::move(tensors)) {
    for (const Tensor& t : tensors_) addresses_.push_back(t.const_data_ptr());
  }
  bool have_moved() const {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].const_data_ptr() != addresses_[i]) return true;
    }
    return false;
  }

 private:
  std::vector<Tensor> tensors_;
  std::vector<const void*> addresses_;
};

struct Entry {
  std::shared_ptr<Network> network;
  std::shared_ptr<const Watched> watched;
};

class Networks {
 public:
  static Networks& instance() {
    static Networks* const networks = new Networks;  // outlives the threads that use it
    return *networks;
  }

  int64_t add(std::shared_ptr<Network> network) {
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_[++last_] = {std::move(network), std::make_shared<const Watched>()};
    return last_;
  }
  Entry entry(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return at(number);
  }
  std::shared_ptr<Network> find(int64_t number) { return entry(number).network; }
  void watch(int64_t number, std::shared_ptr<const Watched> watched) {
    const std::lock_guard<std::mutex> lock(mutex_);
    at(number).watched.swap(watched);
  }
  void forget(int64_t number) {
    Entry entry;  // freed when the mutex is not held any more
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return;
    entry = std::move(found->second);
    entries_.erase(found);
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, Entry> entries_;

  Entry& at(int64_t number) {
    const auto found = entries_.find(number);
    CNNEXT_CHECK(found != entries_.end(), "there is no network of number ", number);
    return found->second;
  }
  int64_t last_ = 0;
};

std::vector<Weight> read_weights(const std::vector<Tensor>& tensors) {
  std::vector<Weight> weights;
  for (const Tensor& t : tensors) {
    CNNEXT_CHECK(t.is_cpu() && t.scalar_type() == ScalarType::Float,
                 "weights must be float32 tensors on the CPU, but one has dtype ", t.scalar_type(),
                 " on ", device_text(t));
    check_allocated(t);
    Weight weight;
    weight.owner = std::make_shared<Tensor>(t);
    weight.data = static_cast<const float*>(t.const_data_ptr());
    for (int64_t d = 0; d < t.dim(); ++d) {
      weight.sizes.push_back(t.size(d));
      weight.strides.push_back(t.stride(d));
    }
    weights.push_back(std::move(weight));
  }
  return weights;
}

int64_t define(std::string program, std::vector<Tensor> weights) {
  return Networks::instance().add(std::make_shared<Network>(program, read_weights(weights)));
}

void set_weights(int64_t number, std::vector<Tensor> weights) {
  Networks::instance().find(number)->set_weights(read_weights(weights));
}

// From now on calls look whether these have moved.
void watch(int64_t number, std::vector<Tensor> tensors) {
  Networks::instance().watch(number, std::make_shared<const Watched>(std::move(tensors)));
}

void forget(int64_t number) { Networks::instance().forget(number); }

Extent extent_of(const Tensor& t) {
  if (t.dim() == 2) return {t.size(0), t.size(1), 1, 1, true};
  if (t.dim() == 3) return {t.size(0), t.size(2), 1, t.size(1), false, true};
  return {t.size(0), t.size(1), t.size(2), t.size(3), false};
}

Tensor empty(const Extent& e, Layout layout, const Tensor& like) {
  if (e.features) return empty_2d(e.n, e.c, like);
  if (e.sequence) {
    const int64_t sizes[] = {e.n, e.w, e.c}, strides[] = {e.w * e.c, e.c, 1};
    return empty_strided(3, sizes, strides, like, like.scalar_type());
  }
  return empty_4d(e.n, e.c, e.h, e.w, layout, like);
}

// Inputs of a call, dense in one layout.
struct Inputs {
  Request request;
  std::vector<Tensor> tensors;

  Inputs(const Network& network, const std::vector<Tensor>& given) {
    CNNEXT_CHECK(given.size() == network.inputs(), "the network takes ", network.inputs(),
                 " inputs, but was given ", given.size());
    request.layout = Layout::nchw;
    request.threads = torch_threads();
    for (const Tensor& t : given) {
      CNNEXT_CHECK(t.is_cpu() && t.scalar_type() == ScalarType::Float,
                   "inputs must be float32 tensors on the CPU, but one has dtype ", t.scalar_type(),
                   " on ", device_text(t));
      CNNEXT_CHECK(t.dim() >= 2 && t.dim() <= 4 && t.numel() > 0,
                   "inputs must be images (N, C, H, W), features (N, F) or sequences of features, "
                   "but one has shape ",
                   shape_text(t));
      request.inputs.push_back(extent_of(t));
      if (prefers_channels_last(t)) request.layout = Layout::channels_last;
    }
    for (const Tensor& t : given) {
      check_allocated(t);
      tensors.push_back(t.dim() < 4 ? dense(t) : dense(t, request.layout));
    }
  }
};

// A call in progress: its stages and all of its memory.
struct Call {
  std::shared_ptr<const Stages> stages;
  std::vector<Tensor> results;
  std::vector<float*> reads, writes;
  Scratch scratch;

  Call(Network& network, const Inputs& inputs)
      : stages(network.stages_for(inputs.request, TorchThreads())) {
    const Tensor& like = inputs.tensors[0];
    for (const Tensor& t : inputs.tensors) {
      reads.push_back(const_cast<float*>(static_cast<const float*>(t.const_data_ptr())));
    }
    for (const Extent& e : stages->outputs()) {
      results.push_back(empty(e, inputs.request.layout, like));
      writes.push_back(static_cast<float*>(results.back().mutable_data_ptr()));
    }
  }
};

// Nothing, if a tensor that is watched has moved.
std::vector<Tensor> run(int64_t number, std::vector<Tensor> given) {
  const auto [network, watched] = Networks::instance().entry(number);
  if (watched->have_moved()) return {};
  const Inputs inputs(*network, given);
  Call call(*network, inputs);
  call.stages->run(call.reads, call.writes, call.scratch.reserve(call.stages->bytes()),
                   TorchThreads());
  return call.results;
}

std::vector<double> profile(int64_t number, std::vector<Tensor> given) {
  const std::shared_ptr<Network> network = Networks::instance().find(number);
  const Inputs inputs(*network, given);
  Call call(*network, inputs);
  return call.stages->profile(call.reads, call.writes, call.scratch.reserve(call.stages->bytes()),
                              TorchThreads());
}

std::string report(int64_t number, std::vector<Tensor> given) {
  const std::shared_ptr<Network> network = Networks::instance().find(number);
  const Inputs inputs(*network, given);
  return network->stages_for(inputs.request, TorchThreads())->describe();
}

// Bytes of packed weights and of a call at most, and for how many extents of inputs there are
// stages.
std::vector<int64_t> bytes(int64_t number) {
  const std::shared_ptr<Network> network = Networks::instance().find(number);
  return {network->packed_bytes(), network->call_bytes(), static_cast<int64_t>(network->extents())};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  m.def("plan_define(str program, Tensor[] weights) -> int");
  m.def("plan_set_weights(int number, Tensor[] weights) -> ()");
  m.def("plan_watch(int number, Tensor[] tensors) -> ()");
  m.def("plan_run(int number, Tensor[] inputs) -> Tensor[]");
  m.def("plan_report(int number, Tensor[] inputs) -> str");
  m.def("plan_profile(int number, Tensor[] inputs) -> float[]");
  m.def("plan_bytes(int number) -> int[]");
  m.def("plan_forget(int number) -> ()");
  m.def("plan_operators() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("plan_define", TORCH_BOX(&define));
  m.impl("plan_set_weights", TORCH_BOX(&set_weights));
  m.impl("plan_watch", TORCH_BOX(&watch));
  m.impl("plan_run", TORCH_BOX(&run));
  m.impl("plan_report", TORCH_BOX(&report));
  m.impl("plan_profile", TORCH_BOX(&profile));
  m.impl("plan_bytes", TORCH_BOX(&bytes));
  m.impl("plan_forget", TORCH_BOX(&forget));
  m.impl("plan_operators", TORCH_BOX(&list_operators));
}

}  // namespace plan
}  // namespace cnnext
