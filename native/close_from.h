// Closes what an exec must not pass on. Async-signal-safe (signal-safety(7)): for a forked child, which may neither allocate nor
// take locks. Knows nothing of Node.
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace motya {

/** Fds up to this one are tried one by one where the open ones cannot be listed: some 10 ms. RLIMIT_NOFILE may be 2^30: minutes. */
constexpr int kLastTried = 65535;

/** One entry of getdents64(2), of which glibc's headers know nothing. */
struct DirectoryEntry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

/** -1 for `.` and `..`. */
inline int FdOf(const char* name) {
  int fd = 0;
  for (; *name != '\0'; name++) {
    if (*name < '0' || *name > '9' || fd > INT_MAX / 10 - 1) return -1;
    fd = fd * 10 + (*name - '0');
  }
  return fd;
}

/** @returns false where /proc cannot be read (not mounted, or that of other processes) */
inline bool CloseListed(int first) {
  // Room for the directory's fd, when as many are open as RLIMIT_NOFILE allows.
  close(first);
  const int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return false;
  alignas(DirectoryEntry) char entries[4096];
  // The kernel goes on after the number it has listed last, so that closing meanwhile leaves none out (proc_readfd_common).
  long size;
  while ((size = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      const int fd = FdOf(entries + at + offsetof(DirectoryEntry, name));
      if (fd >= first && fd != directory) close(fd);
      at += entry->length;
    }
  }
  close(directory);
  return size == 0;
}

/** Closes all fds from `first` on. */
inline void CloseFrom(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0u, 0u) == 0) return;
#endif
  // Before Linux 5.9, or under a seccomp filter that does not know the call.
  if (CloseListed(first)) return;
  for (int fd = first; fd <= kLastTried; fd++) close(fd);
}

}  // namespace motya
