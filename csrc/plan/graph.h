// SPDX-License-Identifier: BSD-3-Clause
// A network as operators on values, without shapes, from its program: text with a node a line, each
// value defined before it is used.
//
//   <operator> <result> <operands...> <key=value ...>
//
//   input 0
//   conv2d 1 0 weight=0 bias=1 stride=2,2 padding=1,1 dilation=1,1 groups=1 activation=relu
//   output 1
//
// Values and weights are numbers from 0 on; attributes are numbers or words, joined by commas.
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

class Node {
 public:
  explicit Node(std::string line);

  std::string op;
  int result = -1;  // output has none
  std::vector<int> operands;

  // Attributes. All but those with a default must be there.
  int64_t integer(const char* key) const;
  int64_t integer(const char* key, int64_t otherwise) const;
  double number(const char* key) const;
  Pair pair(const char* key) const;
  std::vector<double> numbers(const char* key) const;
  std::string word(const char* key, const char* otherwise) const;
  bool has(const char* key) const { return find(key) != nullptr; }
  std::vector<std::string> keys() const;

  // `activation=name,parameters...` of an epilogue; none where it is not there.
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

struct Graph {
  std::vector<Node> nodes;  // without inputs and outputs
  std::vector<int> inputs, outputs;
  int values = 0;

  static Graph parse(const std::string& program);
  // The nodes before `first`, and those from it on. What these read of those is an output of the
  // one and an input of the other.
  std::pair<Graph, Graph> split(size_t first) const;
};

}  // namespace plan
}  // namespace cnnext
