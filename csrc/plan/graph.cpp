// SPDX-License-Identifier: BSD-3-Clause
#include "plan/graph.h"

#include <algorithm>
#include <cstdlib>
#include <locale>
#include <sstream>

namespace cnnext {
namespace plan {
namespace {

// The whole text as a number, whatever the locale of the process.
template <class T>
bool read_number(const std::string& text, T* number) {
  std::istringstream stream(text);
  stream.imbue(std::locale::classic());
  stream >> *number;
  return !stream.fail() && stream.peek() == std::istringstream::traits_type::eof();
}

Activation activation_named(const std::string& name, const Node& node) {
#define CNNEXT_NAMED(each) \
  if (name == #each) return Activation::each;
  CNNEXT_FOR_ACTIVATIONS(CNNEXT_NAMED)
#undef CNNEXT_NAMED
  node.fail("there is no activation '" + name + "'");
}

}  // namespace

bool contains(const std::vector<int>& values, int value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

Node::Node(std::string line) : line_(std::move(line)) {
  std::istringstream words(line_);
  words >> op;
  std::string word;
  for (bool first = op != "output"; words >> word; first = false) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) {
      attributes_.emplace_back(word.substr(0, equals), word.substr(equals + 1));
      continue;
    }
    int value;
    if (!read_number(word, &value) || value < 0) fail("'" + word + "' is no number of a value");
    if (first) {
      result = value;
    } else {
      operands.push_back(value);
    }
  }
}

void Node::fail(const std::string& reason) const {
  throw ProgramError("In the program's line '" + line_ + "': " + reason);
}

const std::string* Node::find(const char* key) const {
  const auto found = std::find_if(attributes_.begin(), attributes_.end(),
                                  [&](const Attribute& each) { return each.first == key; });
  return found == attributes_.end() ? nullptr : &found->second;
}

std::vector<std::string> Node::keys() const {
  std::vector<std::string> keys;
  for (const Attribute& each : attributes_) keys.push_back(each.first);
  return keys;
}

std::vector<std::string> Node::parts(const char* key) const {
  const std::string* const value = find(key);
  if (value == nullptr) fail("it lacks " + std::string(key));
  std::vector<std::string> parts;
  std::istringstream stream(*value);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

int64_t Node::integer(const char* key) const {
  const std::vector<std::string> all = parts(key);
  int64_t value;
  if (all.size() != 1 || !read_number(all[0], &value)) fail(std::string(key) + " is no integer");
  return value;
}

int64_t Node::integer(const char* key, int64_t otherwise) const {
  return has(key) ? integer(key) : otherwise;
}

std::vector<int64_t> Node::integers(const char* key, size_t count) const {
  const std::vector<std::string> all = parts(key);
  std::vector<int64_t> numbers(all.size());
  constexpr int64_t kLargest = int64_t{1} << 31;  // so that no product of two overflows
  for (size_t i = 0; i < all.size(); ++i) {
    if (!read_number(all[i], &numbers[i])) fail(std::string(key) + " are no integers");
    if (std::abs(numbers[i]) > kLargest) fail(std::string(key) + " is too large");
  }
  if (numbers.size() != count) {
    fail(std::string(key) + " has not " + std::to_string(count) + " numbers");
  }
  return numbers;
}

Pair Node::pair(const char* key) const {
  const std::vector<int64_t> two = integers(key, 2);
  return {two[0], two[1]};
}

Factors Node::factors(const char* key) const {
  const std::vector<std::string> all = parts(key);
  Factors factors{};
  if (all.size() != 2 || !read_number(all[0], &factors.h) || !read_number(all[1], &factors.w)) {
    fail(std::string(key) + " is no pair of numbers");
  }
  return factors;
}

std::string Node::word(const char* key, const char* otherwise) const {
  const std::string* const value = find(key);
  return value == nullptr ? otherwise : *value;
}

void Node::read_activation(Epilogue<float>* epilogue) const {
  if (!has("activation")) return;
  const std::vector<std::string> all = parts("activation");
  epilogue->activation = activation_named(all.empty() ? "" : all[0], *this);
  const auto parameter = [&](size_t index) {
    float value = 0;
    if (index >= all.size() || !read_number(all[index], &value)) {
      fail("the activation lacks a parameter");
    }
    return value;
  };
  if (epilogue->activation == Activation::clamp) {
    epilogue->parameters.low = parameter(1);
    epilogue->parameters.high = parameter(2);
  } else if (epilogue->activation == Activation::leaky_relu) {
    epilogue->parameters.negative_slope = parameter(1);
  }
}

Graph Graph::parse(const std::string& program) {
  Graph graph;
  std::vector<bool> defined;
  std::istringstream lines(program);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    Node node(line);
    for (const int value : node.operands) {
      if (value >= static_cast<int>(defined.size()) || !defined[value]) {
        node.fail("value " + std::to_string(value) + " is not defined before it is used");
      }
    }
    if (node.op == "output") {
      for (const int value : node.operands) {
        if (contains(graph.inputs, value) || contains(graph.outputs, value)) {
          node.fail("value " + std::to_string(value) + " is an input, or an output twice");
        }
        graph.outputs.push_back(value);
      }
      continue;
    }
    if (node.result < 0) node.fail("it has no result");
    defined.resize(std::max<size_t>(defined.size(), node.result + 1));
    if (defined[node.result]) {
      node.fail("value " + std::to_string(node.result) + " is defined twice");
    }
    defined[node.result] = true;
    if (node.op == "input") {
      graph.inputs.push_back(node.result);
    } else {
      graph.nodes.push_back(std::move(node));
    }
  }
  if (graph.outputs.empty()) throw ProgramError("The program has no output");
  graph.values = static_cast<int>(defined.size());
  return graph;
}

std::pair<Graph, Graph> Graph::split(size_t first) const {
  Graph before, after;
  before.values = after.values = values;
  before.inputs = inputs;
  before.nodes.assign(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(first));
  after.nodes.assign(nodes.begin() + static_cast<std::ptrdiff_t>(first), nodes.end());
  std::vector<int> made_after;
  for (const Node& node : after.nodes) {
    for (const int value : node.operands) {
      if (contains(made_after, value) || contains(after.inputs, value)) continue;
      after.inputs.push_back(value);
      if (!contains(inputs, value)) before.outputs.push_back(value);
    }
    made_after.push_back(node.result);
  }
  for (const int value : outputs) {
    if (contains(made_after, value)) {
      after.outputs.push_back(value);
    } else if (!contains(before.outputs, value)) {
      before.outputs.push_back(value);
    }
  }
  return {std::move(before), std::move(after)};
}

}  // namespace plan
}  // namespace cnnext
