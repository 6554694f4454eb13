// SPDX-License-Identifier: BSD-3-Clause
#include "fault.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <unordered_map>

namespace cuda_on_cpu {
namespace {

const char* name(FaultKind kind) {
  switch (kind) {
    case FaultKind::out_of_bounds:
      return "out of bounds";
    case FaultKind::read_only:
      return "write to read-only memory";
    case FaultKind::misaligned:
      return "misaligned access";
    case FaultKind::race:
      return "race";
    case FaultKind::block_conflict:
      return "conflict of blocks";
    case FaultKind::divergent_barrier:
      return "divergent barrier";
    case FaultKind::wrong_mask:
      return "wrong lane mask";
    case FaultKind::invalid_launch:
      return "invalid launch";
  }
  return "";
}

// The last two parts of a path: the file, and the directory that it is in.
std::string short_path(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) slash = path.rfind('/', slash - 1);
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string output_of(const std::string& command) {
  std::string output;
  if (FILE* const pipe = popen(command.c_str(), "r")) {
    std::array<char, 512> buffer;
    while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
    pclose(pipe);
  }
  return output;
}

std::string find_place(const void* code) {
  Dl_info library;
  if (dladdr(code, &library) == 0) return "an unknown place";
  // One less: inside of the call, which may be the last instruction of its line.
  const auto offset =
      static_cast<const char*>(code) - static_cast<const char*>(library.dli_fbase) - 1;
  std::ostringstream command;
  command << "addr2line -i -e '" << library.dli_fname << "' 0x" << std::hex << offset
          << " 2>/dev/null";
  std::istringstream lines(output_of(command.str()));
  std::string all;
  for (std::string line; std::getline(lines, line) && line[0] != '?';) {
    line.erase(std::min(line.find(" (discriminator"), line.size()));
    all += (all.empty() ? "" : ", inlined at ") + short_path(line);
  }
  if (!all.empty()) return all;
  std::ostringstream unknown;
  unknown << short_path(library.dli_fname) << "+0x" << std::hex << offset;
  return unknown.str();
}

}  // namespace

std::string place(Site site) { return short_path(site.file) + ":" + std::to_string(site.line); }

std::string place(const void* code) {
  static std::unordered_map<const void*, std::string> places;
  const auto [known, is_new] = places.try_emplace(code);
  if (is_new) known->second = find_place(code);
  return known->second;
}

std::string text(Dim3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

Fault make_fault(FaultKind kind, Dim3 thread, Dim3 block, std::string place,
                 const std::string& what) {
  const std::string message = (place.empty() ? "" : place + ": ") + name(kind) + ": " + what;
  return Fault(kind, thread, block, std::move(place), message);
}

}  // namespace cuda_on_cpu
