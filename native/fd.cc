#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "fd_pair.h"

namespace motya {
namespace {

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

}  // namespace

Napi::Value Pipe(const Napi::CallbackInfo& info) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return ThrowErrno(info.Env(), "pipe2");
  return FdPair(info.Env(), fds);
}

Napi::Value Dup(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return ThrowErrno(info.Env(), "fcntl");
  return Napi::Number::New(info.Env(), copy);
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  // Linux has released the fd even when it reports EINTR; a second close could hit somebody else's fd (close(2)).
  if (close(fd) < 0 && errno != EINTR) return ThrowErrno(info.Env(), "close");
  return info.Env().Undefined();
}

Napi::Value SetCloexec(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return ThrowErrno(info.Env(), "fcntl");
  return info.Env().Undefined();
}

Napi::Value Redirect(const Napi::CallbackInfo& info) {
  int fd;
  int target;
  if (!ReadFd(info[0], &fd) || !ReadFd(info[1], &target)) return info.Env().Undefined();
  // dup2 of an fd onto itself does nothing, so FD_CLOEXEC would stay.
  const int result = fd == target ? fcntl(fd, F_SETFD, 0) : Retry([&] { return dup2(fd, target); });
  if (result < 0) return ThrowErrno(info.Env(), "dup2");
  return info.Env().Undefined();
}

Napi::Value IsWritable(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  pollfd wanted = {fd, POLLOUT, 0};
  const int count = Retry([&] { return poll(&wanted, 1, 0); });
  if (count < 0) return ThrowErrno(info.Env(), "poll");
  return Napi::Boolean::New(info.Env(), count > 0);
}

Napi::Value SetPipeSize(const Napi::CallbackInfo& info) {
  int fd;
  int bytes;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "bytes", 1, INT32_MAX, &bytes)) return info.Env().Undefined();
  // EPERM: the user has as many pages in pipes as it may (pipe(7)); the pipe works as it is.
  if (fcntl(fd, F_SETPIPE_SZ, bytes) < 0 && errno != EPERM) return ThrowErrno(info.Env(), "fcntl");
  return info.Env().Undefined();
}

Napi::Value WaitReadable(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  int timeout;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "timeoutMs", 0, INT_MAX, &timeout)) return env.Undefined();
  const int64_t deadline = NowMs() + timeout;
  pollfd wanted = {fd, POLLIN, 0};
  for (;;) {
    const int64_t left = deadline - NowMs();
    const int count = poll(&wanted, 1, left > 0 ? static_cast<int>(left) : 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ThrowErrno(env, "poll");
    if (count > 0 && (wanted.revents & POLLNVAL) != 0) return ThrowSystemError(env, EBADF, "poll");
    return Napi::Boolean::New(env, count > 0);
  }
}

}  // namespace motya
