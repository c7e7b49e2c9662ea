// What an address says, for people and keys. Knows nothing of Node, so that fuzzers can do without it, too.
#pragma once

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

namespace motya {

/** Numeric, an IPv6 one with its `%scope`. */
inline std::string InetText(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN];
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
    return text;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  if (v6.sin6_scope_id == 0) return text;
  char name[IF_NAMESIZE];
  const bool known = if_indextoname(v6.sin6_scope_id, name) != nullptr;
  return std::string(text) + "%" + (known ? name : std::to_string(v6.sin6_scope_id));
}

/** A path, an abstract name with its leading NUL, or nothing for an unnamed socket (unix(7)). `length` as getsockname(2) gives it. */
inline std::string UnixPath(const sockaddr_storage& storage, socklen_t length) {
  const auto& address = reinterpret_cast<const sockaddr_un&>(storage);
  if (length <= offsetof(sockaddr_un, sun_path)) return "";
  const size_t size = length - offsetof(sockaddr_un, sun_path);
  const bool abstract = address.sun_path[0] == '\0';
  return {address.sun_path, abstract ? size : strnlen(address.sun_path, size)};
}

}  // namespace motya
