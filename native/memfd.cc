#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "unique_fd.h"

namespace motya {

Napi::Value CreateMemfd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return ThrowTypeError(env, "data must be a Uint8Array");
  }
  const auto data = info[0].As<Napi::Uint8Array>();
  UniqueFd fd(memfd_create("motya", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ThrowErrno(env, "memfd_create");
  for (size_t written = 0; written < data.ByteLength();) {
    const ssize_t more = Retry([&] { return write(fd.get(), data.Data() + written, data.ByteLength() - written); });
    if (more < 0) return ThrowErrno(env, "write");
    written += static_cast<size_t>(more);
  }
  // Whoever gets it may rely on what it has read (fcntl(2), File Sealing).
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
    return ThrowErrno(env, "fcntl");
  }
  return Napi::Number::New(env, fd.release());
}

}  // namespace motya
