#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "fd_message.h"
#include "unique_fd.h"
#include "unix_address.h"

#ifndef PID_FS_MAGIC
// include/uapi/linux/magic.h since Linux 6.9.
#define PID_FS_MAGIC 0x50494446
#endif

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
  FdMessage message(state.data(), state.size(), fds);
  message.get()->msg_name = const_cast<sockaddr*>(address.get());
  message.get()->msg_namelen = address.length;
  if (Retry([&] { return sendmsg(fd.get(), message.get(), MSG_NOSIGNAL); }) < 0) return ThrowErrno(env, "sendmsg");
  return env.Undefined();
}

Napi::Value PidfdId(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int pid;
  if (!ReadInteger(info[0], "pid", 1, INT32_MAX, &pid)) return env.Undefined();
  const UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  struct statfs system;
  struct stat file;
  // Without pidfs (before Linux 6.9) every pidfd has the same inode.
  const bool has_id = fd.valid() && fstatfs(fd.get(), &system) == 0 && system.f_type == PID_FS_MAGIC &&
                      fstat(fd.get(), &file) == 0;
  if (!has_id) return env.Null();
  return Napi::String::New(env, std::to_string(file.st_ino));
}

}  // namespace motya
