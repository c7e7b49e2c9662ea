// What the kernel, or a peer behind it, may call a socket (native/address_text.h, native/unix_address.h): any bytes as an address of
// any length. Nothing beyond the address may be read, and the name of a unix socket must lead back to the same address.
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "../../native/address_text.h"
#include "../../native/unix_address.h"

namespace {

void RoundTrip(const std::string& path) {
  motya::UnixAddress address;
  if (address.Assign(path) != 0) return;
  sockaddr_storage storage = {};
  memcpy(&storage, address.get(), address.length);
  if (motya::UnixPath(storage, address.length) != path) abort();
  // Abstract names leave no file.
  if (path[0] != '\0') return;
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  if (bind(fd, address.get(), address.length) == 0) {
    sockaddr_storage told = {};
    socklen_t length = sizeof told;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&told), &length) < 0) abort();
    if (motya::UnixPath(told, length) != path) abort();
  }
  close(fd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(input + 1), size - 1);
  if (input[0] % 2 == 0) {
    RoundTrip(bytes);
    return 0;
  }
  sockaddr_storage storage = {};
  const size_t length = std::min(bytes.size(), sizeof(sockaddr_un));
  memcpy(&storage, bytes.data(), length);
  const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNIX};
  storage.ss_family = families[input[0] / 2 % 3];
  if (storage.ss_family != AF_UNIX) {
    if (motya::InetText(storage).empty()) abort();
    return 0;
  }
  const std::string path = motya::UnixPath(storage, static_cast<socklen_t>(length));
  if (!path.empty()) RoundTrip(path);
  return 0;
}
