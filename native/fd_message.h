#pragma once

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

namespace motya {

/** Fds of one message (SCM_MAX_FD in the kernel's include/net/scm.h). */
constexpr size_t kMaxFds = 253;

/** One message with at most kMaxFds fds in its control data (SCM_RIGHTS, unix(7)), for sendmsg(2). Points into itself: not to be copied. */
class FdMessage {
 public:
  FdMessage(void* data, size_t length, const int* fds, size_t count) : part_{data, length} {
    header_.msg_iov = &part_;
    header_.msg_iovlen = 1;
    if (count == 0) return;
    header_.msg_control = control_;
    header_.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* head = CMSG_FIRSTHDR(&header_);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(head), fds, count * sizeof(int));
  }
  FdMessage(const FdMessage&) = delete;
  FdMessage& operator=(const FdMessage&) = delete;

  msghdr* get() { return &header_; }

 private:
  iovec part_;
  alignas(cmsghdr) char control_[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr header_ = {};
};

}  // namespace motya
