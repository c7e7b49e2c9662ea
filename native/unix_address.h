#pragma once

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

namespace motya {

/** Address of a unix socket: a path, or an abstract name when it begins with NUL (unix(7)). */
struct UnixAddress {
  sockaddr_un storage = {};
  socklen_t length = 0;

  /** @returns 0, or the errno that says why no socket can have this path. */
  int Assign(const std::string& path) {
    // An empty path would make the kernel choose an abstract name (autobind).
    if (path.empty()) return EINVAL;
    const bool abstract = path[0] == '\0';
    if (!abstract && path.find('\0') != std::string::npos) return EINVAL;
    // A path ends with NUL; a name may fill all of sun_path, and those of Node 20 do.
    if (path.size() + (abstract ? 0 : 1) > sizeof storage.sun_path) return ENAMETOOLONG;
    storage.sun_family = AF_UNIX;
    memcpy(storage.sun_path, path.data(), path.size());
    // Every byte of an abstract name counts, also a NUL at its end.
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
    return 0;
  }

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

}  // namespace motya
