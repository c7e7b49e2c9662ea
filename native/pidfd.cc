#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "unique_fd.h"

#ifndef PID_FS_MAGIC
// include/uapi/linux/magic.h since Linux 6.9.
#define PID_FS_MAGIC 0x50494446
#endif

namespace motya {
namespace {

/** glibc has wrappers of the pidfd calls since 2.36 only. Every pidfd is CLOEXEC (pidfd_open(2)). */
int Open(int pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

Napi::Value OpenPidfd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int pid;
  if (!ReadInteger(info[0], "pid", 1, INT32_MAX, &pid)) return env.Undefined();
  const int fd = Open(pid);
  if (fd < 0) return ThrowErrno(env, "pidfd_open");
  return Napi::Number::New(env, fd);
}

Napi::Value SignalPidfd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  int number;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "signal", 0, NSIG - 1, &number)) return env.Undefined();
  if (syscall(SYS_pidfd_send_signal, fd, number, nullptr, 0) < 0) return ThrowErrno(env, "pidfd_send_signal");
  return env.Undefined();
}

Napi::Value CopyFd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int pidfd;
  int target;
  if (!ReadFd(info[0], &pidfd) || !ReadFd(info[1], &target)) return env.Undefined();
  // The copy is CLOEXEC (pidfd_getfd(2)).
  const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, target, 0));
  if (fd < 0) return ThrowErrno(env, "pidfd_getfd");
  return Napi::Number::New(env, fd);
}

Napi::Value PidfdId(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int pid;
  if (!ReadInteger(info[0], "pid", 1, INT32_MAX, &pid)) return env.Undefined();
  const UniqueFd fd(Open(pid));
  struct statfs system;
  struct stat file;
  // Without pidfs (before Linux 6.9) every pidfd has the same inode.
  const bool has_id = fd.valid() && fstatfs(fd.get(), &system) == 0 && system.f_type == PID_FS_MAGIC &&
                      fstat(fd.get(), &file) == 0;
  if (!has_id) return env.Null();
  return Napi::String::New(env, std::to_string(file.st_ino));
}

}  // namespace motya
