// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/registry.h"

#include <atomic>
#include <map>
#include <mutex>

namespace cnnext {
namespace {

std::atomic<int64_t> changes{0};

// A setting of some operators by name. Asked at every call, hardly ever made.
class Settings {
 public:
  void set(const std::string& op, const std::string& value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (value.empty()) {
      values_.erase(op);
    } else {
      values_[op] = value;
    }
    any_ = !values_.empty();
    ++changes;
  }

  std::string get(const std::string& op) {
    if (!any_) return {};
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = values_.find(op);
    return found == values_.end() ? std::string() : found->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> values_;
  std::atomic<bool> any_{false};  // spares the usual call the lock
};

Settings forced, preferred;

}  // namespace

void force_kernel(const std::string& op, const std::string& name) { forced.set(op, name); }
std::string forced_kernel(const std::string& op) { return forced.get(op); }

void prefer_algorithm(const std::string& op, const std::string& algorithm) {
  preferred.set(op, algorithm);
}
std::string preferred_algorithm(const std::string& op) { return preferred.get(op); }

int64_t settings_number() { return changes; }

const char* pass_name(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::bwd_input:
      return "bwd_input";
    case Pass::bwd_weight:
      return "bwd_weight";
    case Pass::backward:
      return "backward";
  }
  return "";
}

}  // namespace cnnext
