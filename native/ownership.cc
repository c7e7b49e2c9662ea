#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "unique_fd.h"

// Who owns what is on its way between two processes: one 32-bit word an item, in memory that both map. A compare-and-swap decides,
// so that a message which is lost, late or delivered twice makes no difference.

namespace motya {
namespace {

/** One page has room for more items than one message has fds. */
constexpr size_t kPage = 4096;
constexpr int kMostWords = kPage / sizeof(uint32_t);
/** What may not happen to the file while it is mapped: reading beyond its end is a SIGBUS (mmap(2)). */
constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;

/** The mapped words of a file; none when it is not one of {@link CreateOwnership}. */
class Words {
 public:
  explicit Words(int fd) {
    struct stat file;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0) return;
    if ((seals & F_SEAL_SHRINK) == 0 || fstat(fd, &file) < 0 || file.st_size != static_cast<off_t>(kPage)) {
      errno = EINVAL;
      return;
    }
    void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) words_ = static_cast<uint32_t*>(page);
  }
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
  ~Words() {
    if (words_ != nullptr) munmap(words_, kPage);
  }

  bool valid() const { return words_ != nullptr; }
  bool Exchange(int index, uint32_t expected, uint32_t desired) {
    return __atomic_compare_exchange_n(words_ + index, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }

 private:
  uint32_t* words_ = nullptr;
};

}  // namespace

Napi::Value CreateOwnership(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  UniqueFd fd(memfd_create("motya-ownership", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ThrowErrno(env, "memfd_create");
  if (ftruncate(fd.get(), kPage) < 0) return ThrowErrno(env, "ftruncate");
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) < 0) return ThrowErrno(env, "fcntl");
  return Napi::Number::New(env, fd.release());
}

Napi::Value ExchangeOwner(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  int index;
  int expected;
  int desired;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "index", 0, kMostWords - 1, &index) ||
      !ReadInteger(info[2], "expected", 0, INT32_MAX, &expected) ||
      !ReadInteger(info[3], "desired", 0, INT32_MAX, &desired)) {
    return env.Undefined();
  }
  Words words(fd);
  if (!words.valid()) return ThrowErrno(env, "mmap");
  return Napi::Boolean::New(env, words.Exchange(index, static_cast<uint32_t>(expected), static_cast<uint32_t>(desired)));
}

}  // namespace motya
