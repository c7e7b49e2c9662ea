#pragma once

#include <errno.h>
#include <napi.h>
#include <uv.h>

#include <string>

namespace motya {

/** Symbolic name of an errno. libuv does not know every one that our calls can meet. */
inline std::string ErrorName(int error) {
  if (error == ETOOMANYREFS) return "ETOOMANYREFS";
  char name[64];
  uv_err_name_r(-error, name, sizeof name);
  return name;
}

inline std::string ErrorText(int error) {
  if (error == ETOOMANYREFS) return "too many references: cannot splice";
  char text[128];
  uv_strerror_r(-error, text, sizeof text);
  return text;
}

/** Leaves a pending JS Error with code, errno and syscall, as Node's own system errors have them. */
inline Napi::Value ThrowSystemError(Napi::Env env, int error, const char* syscall) {
  const std::string name = ErrorName(error);
  const std::string message = std::string(syscall) + " " + name + ": " + ErrorText(error);
  Napi::Error exception = Napi::Error::New(env, message);
  exception.Set("code", Napi::String::New(env, name));
  exception.Set("errno", Napi::Number::New(env, -error));
  exception.Set("syscall", Napi::String::New(env, syscall));
  exception.ThrowAsJavaScriptException();
  return env.Undefined();
}

inline Napi::Value ThrowErrno(Napi::Env env, const char* syscall) { return ThrowSystemError(env, errno, syscall); }

inline Napi::Value ThrowTypeError(Napi::Env env, const std::string& message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

/** Repeats a system call that a signal has interrupted. */
template <typename Call>
auto Retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace motya
