// Reads JS values. Each function returns false with a TypeError pending when the value has the wrong shape.
#pragma once

#include <math.h>
#include <napi.h>

#include <string>
#include <vector>

#include "errors.h"

namespace motya {

// There are no C++ exceptions: an allocation that fails ends the process, as it does in V8. So no argument may choose the size of
// one freely. What is larger than anything that the kernel takes is refused here; large buffers are allocated with std::nothrow.

/** Bytes; one argument of execve(2) may have 32 pages, which are 2 MiB where pages have 64 KiB. */
constexpr size_t kMaxText = 2 << 20;
/** As many fds as a process may have by default (/proc/sys/fs/nr_open); more strings than execve(2) takes. */
constexpr uint32_t kMaxItems = 1 << 20;

inline bool ReadInteger(Napi::Value value, const std::string& name, double min, double max, int* out) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (!(number >= min && number <= max) || number != floor(number)) {
    ThrowTypeError(value.Env(), name + " must be an integer from " + std::to_string(static_cast<long>(min)) + " to " +
                                    std::to_string(static_cast<long>(max)));
    return false;
  }
  *out = static_cast<int>(number);
  return true;
}

inline bool ReadFd(Napi::Value value, int* out) { return ReadInteger(value, "fd", 0, INT32_MAX, out); }

inline bool ReadString(Napi::Value value, const std::string& name, std::string* out) {
  if (!value.IsString()) {
    ThrowTypeError(value.Env(), name + " must be a string");
    return false;
  }
  size_t length;
  if (napi_get_value_string_utf8(value.Env(), value, nullptr, 0, &length) != napi_ok || length > kMaxText) {
    ThrowTypeError(value.Env(), name + " must have at most " + std::to_string(kMaxText) + " bytes");
    return false;
  }
  *out = value.As<Napi::String>().Utf8Value();
  return true;
}

/** A string for the kernel, which would silently end it at a NUL. */
inline bool ReadCString(Napi::Value value, const std::string& name, std::string* out) {
  if (!ReadString(value, name, out)) return false;
  if (out->find('\0') == std::string::npos) return true;
  ThrowTypeError(value.Env(), name + " must not contain NUL");
  return false;
}

inline bool ReadBoolean(Napi::Value value, const std::string& name, bool* out) {
  if (!value.IsBoolean()) {
    ThrowTypeError(value.Env(), name + " must be a boolean");
    return false;
  }
  *out = value.As<Napi::Boolean>().Value();
  return true;
}

template <typename T, typename Read>
bool ReadArray(Napi::Value value, const std::string& name, std::vector<T>* out, Read read) {
  if (!value.IsArray()) {
    ThrowTypeError(value.Env(), name + " must be an array");
    return false;
  }
  const auto array = value.As<Napi::Array>();
  const uint32_t length = array.Length();
  if (length > kMaxItems) {
    ThrowTypeError(value.Env(), name + " must have at most " + std::to_string(kMaxItems) + " items");
    return false;
  }
  for (uint32_t i = 0; i < length; i++) {
    out->emplace_back();
    if (!read(array.Get(i), &out->back())) return false;
  }
  return true;
}

inline bool ReadFds(Napi::Value value, std::vector<int>* out) { return ReadArray(value, "fds", out, ReadFd); }

inline bool ReadCStrings(Napi::Value value, const std::string& name, std::vector<std::string>* out) {
  return ReadArray(value, name, out,
                   [&name](Napi::Value item, std::string* to) { return ReadCString(item, name + "[]", to); });
}

}  // namespace motya
