#include <sys/socket.h>
#include <sys/time.h>

#include "arguments.h"
#include "calls.h"
#include "fd_message.h"
#include "unique_fd.h"
#include "unix_address.h"

namespace motya {
namespace {

/** A manager that is busy gets this long; one that is stopped must not stop us. */
constexpr timeval kPatience = {1, 0};

}  // namespace

Napi::Value Notify(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string path;
  std::string state;
  std::vector<int> fds;
  if (!ReadString(info[0], "path", &path) || !ReadCString(info[1], "state", &state) || !ReadFds(info[2], &fds)) {
    return env.Undefined();
  }
  UnixAddress address;
  const int error = address.Assign(path);
  if (error != 0) return ThrowSystemError(env, error, "sendmsg");
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ThrowErrno(env, "socket");
  if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience) < 0) {
    return ThrowErrno(env, "setsockopt");
  }
  if (fds.size() > kMaxFds) return ThrowSystemError(env, EINVAL, "sendmsg");
  FdMessage message(state.data(), state.size(), fds.data(), fds.size());
  message.get()->msg_name = const_cast<sockaddr*>(address.get());
  message.get()->msg_namelen = address.length;
  if (Retry([&] { return sendmsg(fd.get(), message.get(), MSG_NOSIGNAL); }) < 0) return ThrowErrno(env, "sendmsg");
  return env.Undefined();
}

}  // namespace motya
