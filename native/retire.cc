#include <limits.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "arguments.h"
#include "calls.h"

namespace motya {
namespace {

/** Where a TCP header has its flags (RFC 9293 §3.1); a listener's filter sees the segment from that header on. */
constexpr uint32_t kFlagsOffset = offsetof(tcphdr, th_flags);

}  // namespace

Napi::Value DropSyns(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  // The last ACK of a handshake that has begun still comes through: its client has been told that it is connected.
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlagsOffset),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  const sock_fprog filter = {sizeof program / sizeof *program, program};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0) {
    return ThrowErrno(info.Env(), "setsockopt");
  }
  return info.Env().Undefined();
}

Napi::Value LeaveInterfaces(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  // No interface has this index (INT_MAX), and the kernel does not ask for one (sock_bindtoindex_locked): a SYN finds no listener
  // (compute_score), while a handshake that has begun has been noted with the interface of before.
  const int nowhere = INT_MAX;
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof nowhere) < 0) {
    return ThrowErrno(info.Env(), "setsockopt");
  }
  return info.Env().Undefined();
}

Napi::Value ShutdownReceive(const Napi::CallbackInfo& info) {
  int fd;
  if (!ReadFd(info[0], &fd)) return info.Env().Undefined();
  if (shutdown(fd, SHUT_RD) < 0) return ThrowErrno(info.Env(), "shutdown");
  return info.Env().Undefined();
}

}  // namespace motya
