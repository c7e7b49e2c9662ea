#pragma once

#include <string.h>
#include <sys/socket.h>

#include <vector>

namespace motya {

/** One message with fds in its control data (SCM_RIGHTS, unix(7)), for sendmsg(2). Points into itself: not to be copied. */
class FdMessage {
 public:
  FdMessage(void* data, size_t length, const std::vector<int>& fds)
      : part_{data, length}, control_(fds.empty() ? 0 : CMSG_SPACE(fds.size() * sizeof(int))) {
    header_.msg_iov = &part_;
    header_.msg_iovlen = 1;
    if (fds.empty()) return;
    header_.msg_control = control_.data();
    header_.msg_controllen = control_.size();
    cmsghdr* head = CMSG_FIRSTHDR(&header_);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
  }
  FdMessage(const FdMessage&) = delete;
  FdMessage& operator=(const FdMessage&) = delete;

  msghdr* get() { return &header_; }

 private:
  iovec part_;
  std::vector<char> control_;
  msghdr header_ = {};
};

}  // namespace motya
