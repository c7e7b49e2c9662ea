// What a peer can do to whoever reads its messages (native/received.h): libFuzzer's bytes are orders for a peer at the other end of
// a real socket pair, who sends messages with fds of all kinds, cut short or overlong, and hangs up at any moment. Whatever it does,
// no fd may stay open and no message may come with another one's fds.
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <vector>

#include "../../native/fd_message.h"
#include "../../native/received.h"

namespace {

/** Bytes that a reader takes, so small that overlong messages are cheap. */
constexpr size_t kLargest = 512;

[[noreturn]] void Fail() { abort(); }

size_t OpenFds() {
  size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) count++;
  closedir(directory);
  return count;
}

/** Takes orders off the input; zeros at its end. */
class Orders {
 public:
  Orders(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t Next() { return at_ < size_ ? data_[at_++] : 0; }
  bool Over() const { return at_ >= size_; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

int OpenSome(uint8_t kind) {
  int pair[2];
  switch (kind % 5) {
    case 0:
      return open("/dev/null", O_RDWR);
    case 1:
      if (pipe(pair) < 0) return -1;
      close(pair[1]);
      return pair[0];
    case 2:
      return socket(AF_UNIX, SOCK_SEQPACKET, 0);
    case 3:
      return socket(AF_INET, SOCK_STREAM, 0);
    default:
      return open("/proc/self/exe", O_RDONLY);
  }
}

/** A message of `length` bytes, each of them the number of fds that ride on it. */
void Send(int peer, size_t length, size_t count, uint8_t kind) {
  std::vector<int> fds;
  std::vector<motya::UniqueFd> owned;
  for (size_t i = 0; i < count; i++) {
    owned.emplace_back(OpenSome(static_cast<uint8_t>(kind + i)));
    if (!owned.back().valid()) break;
    fds.push_back(owned.back().get());
  }
  std::vector<char> data(length, static_cast<char>(fds.size()));
  motya::FdMessage message(data.data(), data.size(), fds.data(), fds.size());
  sendmsg(peer, message.get(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Receive(int reader) {
  char data[kLargest];
  motya::Received received;
  const ssize_t length = motya::ReceiveMessage(reader, data, sizeof data, &received);
  if (length < 0 && received.count() != 0) Fail();
  if (length <= 0) return;
  if (static_cast<size_t>(length) > sizeof data) Fail();
  // All of them, or none where the kernel has dropped some.
  const size_t wanted = received.has_lost_fds() ? 0 : static_cast<uint8_t>(data[0]);
  if (received.count() != wanted) Fail();
  for (size_t i = 0; i < received.count(); i++) {
    const int flags = fcntl(received.fds()[i].get(), F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) == 0) Fail();
  }
}

/** So few fds that the kernel has to drop some of a large message. */
void Confine(size_t fds) {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = fds < limit.rlim_max ? fds : limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  const size_t before = OpenFds();
  Orders orders(input, size);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return 0;
  motya::UniqueFd reader(ends[0]);
  motya::UniqueFd peer(ends[1]);
  for (int left = 64; left > 0 && !orders.Over(); left--) {
    const uint8_t order = orders.Next();
    switch (order % 7) {
      case 0:
      case 1:
      case 2: {
        const uint8_t low = orders.Next();
        const size_t length = static_cast<size_t>(orders.Next() % 4) * 256 + low;
        Send(peer.get(), length == 0 ? 1 : length, orders.Next() % 254, order);
        break;
      }
      case 3: {
        const int on = orders.Next() % 2;
        setsockopt(reader.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
        break;
      }
      case 4:
        if (order > 200) peer.reset(-1);
        break;
      case 5:
        Confine(orders.Next() % 2 == 0 ? before + 8 : 1024);
        Receive(reader.get());
        Confine(1024);
        break;
      default:
        Receive(reader.get());
    }
  }
  peer.reset(-1);
  for (int left = 80; left > 0; left--) Receive(reader.get());
  reader.reset(-1);
  if (OpenFds() != before) Fail();
  return 0;
}
