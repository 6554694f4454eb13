// SPDX-License-Identifier: BSD-3-Clause
// Makes a library importable, so that Python finds and loads it like any module. The operators
// register themselves with torch from their torch_cpu.cpp and torch_cuda.cpp. The build names the
// library in TORCH_EXTENSION_NAME.
#include <Python.h>

#define CNNEXT_TEXT_OF(name) #name
#define CNNEXT_TEXT(name) CNNEXT_TEXT_OF(name)
#define CNNEXT_INIT_OF(name) PyInit_##name
#define CNNEXT_INIT(name) CNNEXT_INIT_OF(name)

PyMODINIT_FUNC CNNEXT_INIT(TORCH_EXTENSION_NAME)() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT,
                               CNNEXT_TEXT(TORCH_EXTENSION_NAME),
                               nullptr,
                               -1,
                               nullptr,
                               nullptr,
                               nullptr,
                               nullptr,
                               nullptr};
  return PyModule_Create(&module);
}
