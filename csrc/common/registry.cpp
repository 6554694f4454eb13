// SPDX-License-Identifier: BSD-3-Clause
#include "common/registry.h"

#include <atomic>
#include <map>
#include <mutex>

namespace cnnext {
namespace {

std::mutex mutex;
std::map<std::string, std::string> forced;
std::atomic<bool> any_forced{false};  // spares the usual call the lock

}  // namespace

void force_kernel(const std::string& op, const std::string& name) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (name.empty()) {
    forced.erase(op);
  } else {
    forced[op] = name;
  }
  any_forced = !forced.empty();
}

std::string forced_kernel(const std::string& op) {
  if (!any_forced) return {};
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = forced.find(op);
  return found == forced.end() ? std::string() : found->second;
}

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
