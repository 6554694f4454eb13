// SPDX-License-Identifier: BSD-3-Clause
// Makes the library importable, so that Python finds and loads it like any module. The operators
// register themselves with torch from their torch_cpu.cpp.
#include <Python.h>

PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {
      PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
