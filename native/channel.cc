#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <new>

#include "arguments.h"
#include "calls.h"
#include "fd_message.h"
#include "fd_pair.h"
#include "received.h"
#include "unique_fd.h"
#include "unix_address.h"

namespace motya {
namespace {

Napi::Value Credentials(Napi::Env env, const ucred& of) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, of.pid));
  result.Set("uid", Napi::Number::New(env, of.uid));
  result.Set("gid", Napi::Number::New(env, of.gid));
  return result;
}

}  // namespace

Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
    return ThrowErrno(info.Env(), "socketpair");
  }
  return FdPair(info.Env(), fds);
}

Napi::Value ConnectPath(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string path;
  if (!ReadString(info[0], "path", &path)) return env.Undefined();
  UnixAddress address;
  const int error = address.Assign(path);
  if (error != 0) return ThrowSystemError(env, error, "connect");
  // Non-blocking from the start: a peer whose queue is full must cost an EAGAIN, not this thread.
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ThrowErrno(env, "socket");
  if (Retry([&] { return connect(fd.get(), address.get(), address.length); }) < 0) return ThrowErrno(env, "connect");
  return Napi::Number::New(env, fd.release());
}

Napi::Value Accept(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int listener;
  if (!ReadFd(info[0], &listener)) return env.Undefined();
  const int fd = Retry([&] { return accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); });
  if (fd >= 0) return Napi::Number::New(env, fd);
  if (errno == EAGAIN) return env.Null();
  return ThrowErrno(env, "accept4");
}

Napi::Value Send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  std::vector<int> fds;
  if (!ReadFd(info[0], &fd)) return env.Undefined();
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return ThrowTypeError(env, "data must be a Uint8Array");
  }
  auto data = info[1].As<Napi::Uint8Array>();
  if (!ReadFds(info[2], &fds)) return env.Undefined();
  // An empty message looks to the receiver as if we had closed.
  if (data.ByteLength() == 0) return ThrowSystemError(env, EINVAL, "sendmsg");

  if (fds.size() > kMaxFds) return ThrowSystemError(env, EINVAL, "sendmsg");
  FdMessage message(data.Data(), data.ByteLength(), fds.data(), fds.size());
  if (Retry([&] { return sendmsg(fd, message.get(), MSG_DONTWAIT | MSG_NOSIGNAL); }) >= 0) {
    return Napi::Boolean::New(env, true);
  }
  if (errno == EAGAIN) return Napi::Boolean::New(env, false);
  return ThrowErrno(env, "sendmsg");
}

Napi::Value Receive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  int max_bytes;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "maxBytes", 1, 1 << 24, &max_bytes)) return env.Undefined();

  const std::unique_ptr<char[]> data(new (std::nothrow) char[max_bytes]);
  if (data == nullptr) return ThrowSystemError(env, ENOMEM, "recvmsg");
  Received received;
  const ssize_t length = ReceiveMessage(fd, data.get(), static_cast<size_t>(max_bytes), &received);
  if (length < 0) {
    if (errno == EAGAIN) return env.Null();
    return ThrowErrno(env, "recvmsg");
  }
  if (received.has_lost_fds() && !info[2].ToBoolean()) return ThrowSystemError(env, ENOBUFS, "recvmsg");

  Napi::Object result = Napi::Object::New(env);
  result.Set("data", Napi::Buffer<char>::Copy(env, data.get(), static_cast<size_t>(length)));
  Napi::Array fds = Napi::Array::New(env, received.count());
  for (uint32_t i = 0; i < received.count(); i++) {
    fds.Set(i, Napi::Number::New(env, received.fds()[i].release()));
  }
  result.Set("fds", fds);
  if (received.has_lost_fds()) result.Set("hasLostFds", Napi::Boolean::New(env, true));
  if (received.sender() != nullptr) result.Set("sender", Credentials(env, *received.sender()));
  return result;
}

Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  if (!ReadFd(info[0], &fd)) return env.Undefined();
  ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return ThrowErrno(env, "getsockopt");
  // What the kernel says of a socket that has no peer; nobody may take it for a user.
  if (peer.uid == static_cast<uid_t>(-1)) return ThrowSystemError(env, ENOTCONN, "getsockopt");
  return Credentials(env, peer);
}

}  // namespace motya
