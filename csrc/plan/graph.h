// SPDX-License-Identifier: BSD-3-Clause
// A network as operators on values, without extents, from its program: text with a node a line,
// each value defined once, and before it is used. cnnext/optimization/graph.py writes programs,
// operators.h lists their operators.
//
//   <operator> <result> <operands...> <key=value ...>
//
//   input 0
//   conv2d 1 0 weight=0 bias=1 stride=2,2 padding=1,1 dilation=1,1 groups=1 activation=relu
//   output 1
//
// Values and weights are numbers from 0 on; attributes are numbers or words, joined by commas. The
// last line names the outputs, of which none is an input, and none stands there twice.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/kernel/epilogue.h"

namespace cnnext {
namespace plan {

// The message names the line.
struct ProgramError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Pair {
  int64_t h, w;
};

struct Factors {
  double h, w;
};

class Node {
 public:
  explicit Node(std::string line);

  std::string op;
  int result = -1;  // output has none
  std::vector<int> operands;

  // Attributes, which must be there unless there is a value to take otherwise.
  int64_t integer(const char* key) const;
  int64_t integer(const char* key, int64_t otherwise) const;
  Pair pair(const char* key) const;
  Factors factors(const char* key) const;
  std::vector<int64_t> integers(const char* key, size_t count) const;
  std::string word(const char* key, const char* otherwise) const;
  bool has(const char* key) const { return find(key) != nullptr; }
  std::vector<std::string> keys() const;

  // Reads `activation=name,parameters...` into an epilogue, which stays as it is without that.
  void read_activation(Epilogue<float>* epilogue) const;

  const std::string& line() const { return line_; }
  [[noreturn]] void fail(const std::string& reason) const;

 private:
  using Attribute = std::pair<std::string, std::string>;

  std::string line_;
  std::vector<Attribute> attributes_;

  const std::string* find(const char* key) const;
  std::vector<std::string> parts(const char* key) const;
};

bool contains(const std::vector<int>& values, int value);

struct Graph {
  std::vector<Node> nodes;  // without the lines of inputs and outputs
  std::vector<int> inputs, outputs;
  int values = 0;  // one more than the largest number of a value

  static Graph parse(const std::string& program);
  // Two graphs: the nodes before `first`, and the rest. A value that the second takes from the
  // first is an output of the first and an input of the second.
  std::pair<Graph, Graph> split(size_t first) const;
};

}  // namespace plan
}  // namespace cnnext
