#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "arguments.h"
#include "calls.h"
#include "unique_fd.h"

namespace motya {

Napi::Value AcquireLock(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string path;
  if (!ReadCString(info[0], "path", &path)) return env.Undefined();
  for (;;) {
    // O_NOFOLLOW: in a directory that others can write to, a symlink could make us create a file anywhere.
    UniqueFd fd(Retry([&] { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); }));
    if (!fd.valid()) return ThrowErrno(env, "open");
    if (Retry([&] { return flock(fd.get(), LOCK_EX | LOCK_NB); }) < 0) {
      if (errno == EWOULDBLOCK) return env.Null();
      return ThrowErrno(env, "flock");
    }
    // If the file was removed between open and flock, others will lock a new one: ours would guard nothing.
    struct stat locked;
    struct stat named;
    if (fstat(fd.get(), &locked) < 0) return ThrowErrno(env, "fstat");
    if (lstat(path.c_str(), &named) == 0 && named.st_ino == locked.st_ino && named.st_dev == locked.st_dev) {
      return Napi::Number::New(env, fd.release());
    }
  }
}

}  // namespace motya
