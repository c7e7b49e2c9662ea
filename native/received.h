// One message off a socket with what rides on it. Knows nothing of Node, so that fuzzers can do without it, too.
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <utility>

#include "fd_message.h"
#include "unique_fd.h"

namespace motya {

/** What came beside a message. The fds are closed unless they are released. */
class Received {
 public:
  void Read(const msghdr& message) {
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
         head = CMSG_NXTHDR(const_cast<msghdr*>(&message), head)) {
      if (head->cmsg_level != SOL_SOCKET) continue;
      if (head->cmsg_type == SCM_CREDENTIALS) {
        memcpy(&sender_, CMSG_DATA(head), sizeof sender_);
        has_sender_ = true;
      }
      if (head->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; i++) {
        int number;
        memcpy(&number, CMSG_DATA(head) + i * sizeof(int), sizeof number);
        UniqueFd fd(number);
        // More than the control buffer has room for cannot come; if it did, the fd would be closed here.
        if (count_ < kMaxFds) fds_[count_++] = std::move(fd);
      }
    }
  }

  UniqueFd* fds() { return fds_; }
  size_t count() const { return count_; }
  /** The kernel had no room for some of the fds (MSG_CTRUNC), so none of them is here. */
  bool has_lost_fds() const { return has_lost_fds_; }
  void LoseFds() {
    for (size_t i = 0; i < count_; i++) fds_[i] = UniqueFd();
    count_ = 0;
    has_lost_fds_ = true;
  }
  /** Null unless the socket has SO_PASSCRED. */
  const ucred* sender() const { return has_sender_ ? &sender_ : nullptr; }

 private:
  UniqueFd fds_[kMaxFds];
  size_t count_ = 0;
  ucred sender_ = {};
  bool has_sender_ = false;
  bool has_lost_fds_ = false;
};

/**
 * recvmsg(2) without waiting.
 * @returns bytes of the message, 0 when the peer has closed, or -1 with errno: EMSGSIZE for one longer than `size`; what
 * came with that is closed
 */
inline ssize_t ReceiveMessage(int fd, char* data, size_t size, Received* received) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  iovec part = {data, size};
  msghdr message = {};
  const auto next = [&] {
    ssize_t length;
    do {
      message = {};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    return length;
  };
  ssize_t length = next();
  // A peer that closed with our messages unread leaves ECONNRESET in front of what it had sent before. The kernel reports
  // it once; its last words and the end of the connection come after it.
  if (length < 0 && errno == ECONNRESET) length = next();
  if (length < 0) return -1;
  Received whole;
  whole.Read(message);
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    errno = EMSGSIZE;
    return -1;
  }
  // The kernel drops silently what does not fit below RLIMIT_NOFILE.
  if ((message.msg_flags & MSG_CTRUNC) != 0) whole.LoseFds();
  *received = std::move(whole);
  return length;
}

}  // namespace motya
