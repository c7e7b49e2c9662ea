#include <arpa/inet.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address_text.h"
#include "arguments.h"
#include "calls.h"
#include "unique_fd.h"
#include "unix_address.h"

namespace motya {
namespace {

/** A call that failed, as a value: nothing here throws before everything is cleaned up. */
struct Failure {
  int error = 0;
  const char* syscall = nullptr;
};

Failure Failed(const char* syscall) { return {errno, syscall}; }

struct Spec {
  std::string family;
  std::string type;
  std::string address;
  int port = 0;
  bool v6only = false;
  bool reuse_addr = false;
  std::string path;
  /** -1: the umask decides. */
  int mode = -1;
  bool pass_credentials = false;
  /** What libuv and Node take when nobody says. */
  int backlog = 511;
  /** Bound only: nobody can connect, no datagram is queued. */
  bool bind_only = false;

  int SocketType() const { return type == "stream" ? SOCK_STREAM : type == "dgram" ? SOCK_DGRAM : SOCK_SEQPACKET; }
};

bool ReadSpec(Napi::Value value, Spec* spec) {
  if (!value.IsObject()) {
    ThrowTypeError(value.Env(), "spec must be an object");
    return false;
  }
  const auto object = value.As<Napi::Object>();
  const auto given = [&](const char* key) { return !object.Get(key).IsUndefined(); };
  if (!ReadString(object.Get("family"), "family", &spec->family)) return false;
  if (!ReadString(object.Get("type"), "type", &spec->type)) return false;
  if (given("backlog") && !ReadInteger(object.Get("backlog"), "backlog", 0, INT32_MAX, &spec->backlog)) return false;
  if (given("bindOnly") && !ReadBoolean(object.Get("bindOnly"), "bindOnly", &spec->bind_only)) return false;
  if (spec->family == "unix") {
    if (spec->type != "stream" && spec->type != "seqpacket" && spec->type != "dgram") {
      ThrowTypeError(value.Env(), "type of a unix listener must be stream, seqpacket or dgram");
      return false;
    }
    if (given("passCredentials") &&
        !ReadBoolean(object.Get("passCredentials"), "passCredentials", &spec->pass_credentials)) {
      return false;
    }
    if (given("mode") && !ReadInteger(object.Get("mode"), "mode", 0, 0777, &spec->mode)) return false;
    return ReadString(object.Get("path"), "path", &spec->path);
  }
  if ((spec->family != "inet" && spec->family != "inet6") || (spec->type != "stream" && spec->type != "dgram")) {
    ThrowTypeError(value.Env(), "family must be inet, inet6 or unix; type of an inet listener stream or dgram");
    return false;
  }
  if (given("v6only") && !ReadBoolean(object.Get("v6only"), "v6only", &spec->v6only)) return false;
  if (given("reuseAddr") && !ReadBoolean(object.Get("reuseAddr"), "reuseAddr", &spec->reuse_addr)) return false;
  return ReadCString(object.Get("address"), "address", &spec->address) &&
         ReadInteger(object.Get("port"), "port", 0, 65535, &spec->port);
}

Failure ScopeId(const std::string& scope, uint32_t* id) {
  *id = if_nametoindex(scope.c_str());
  if (*id != 0) return {};
  char* end;
  const unsigned long number = strtoul(scope.c_str(), &end, 10);
  if (scope.empty() || scope[0] < '0' || scope[0] > '9' || *end != '\0' || number == 0 || number > UINT32_MAX) {
    return {ENODEV, "if_nametoindex"};
  }
  *id = static_cast<uint32_t>(number);
  return {};
}

Failure InetAddress(const Spec& spec, sockaddr_storage* storage, socklen_t* length) {
  const auto port = htons(static_cast<uint16_t>(spec.port));
  if (spec.family == "inet") {
    auto* v4 = reinterpret_cast<sockaddr_in*>(storage);
    v4->sin_family = AF_INET;
    v4->sin_port = port;
    *length = sizeof *v4;
    return inet_pton(AF_INET, spec.address.c_str(), &v4->sin_addr) == 1 ? Failure{} : Failure{EINVAL, "inet_pton"};
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(storage);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = port;
  *length = sizeof *v6;
  const size_t percent = spec.address.find('%');
  if (inet_pton(AF_INET6, spec.address.substr(0, percent).c_str(), &v6->sin6_addr) != 1) return {EINVAL, "inet_pton"};
  return percent == std::string::npos ? Failure{} : ScopeId(spec.address.substr(percent + 1), &v6->sin6_scope_id);
}

bool SetFlag(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/** A filter that keeps nothing of any packet: the kernel drops them (socket(7), SO_ATTACH_FILTER). */
bool DropDatagrams(int fd) {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program = {1, &nothing};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

Failure OpenInet(const Spec& spec, UniqueFd* fd) {
  sockaddr_storage address = {};
  socklen_t length = 0;
  const Failure wrong = InetAddress(spec, &address, &length);
  if (wrong.error != 0) return wrong;
  fd->reset(socket(address.ss_family, spec.SocketType() | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd->valid()) return Failed("socket");
  const bool stream = spec.type == "stream";
  if ((stream || spec.reuse_addr) && !SetFlag(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1)) return Failed("setsockopt");
  // Always, since the default comes from net.ipv6.bindv6only.
  if (address.ss_family == AF_INET6 && !SetFlag(fd->get(), IPPROTO_IPV6, IPV6_V6ONLY, spec.v6only ? 1 : 0)) {
    return Failed("setsockopt");
  }
  // Before bind: from then on a datagram socket receives.
  if (!stream && spec.bind_only && !DropDatagrams(fd->get())) return Failed("setsockopt");
  if (bind(fd->get(), reinterpret_cast<sockaddr*>(&address), length) < 0) return Failed("bind");
  if (stream && !spec.bind_only && listen(fd->get(), spec.backlog) < 0) return Failed("listen");
  return {};
}

/** Gives back the bits that the umask took from the path: its mode only ever widens, up to what was asked for. */
Failure WidenMode(const std::string& path, int mode) {
  struct stat made;
  if (lstat(path.c_str(), &made) < 0) return Failed("lstat");
  if ((made.st_mode & 0777) == static_cast<mode_t>(mode) || !S_ISSOCK(made.st_mode)) return {};
  return chmod(path.c_str(), static_cast<mode_t>(mode)) < 0 ? Failed("chmod") : Failure{};
}

Failure OpenUnix(const Spec& spec, UniqueFd* fd) {
  UnixAddress address;
  const int wrong = address.Assign(spec.path);
  if (wrong != 0) return {wrong, "bind"};
  const bool named = spec.path[0] != '\0';
  fd->reset(socket(AF_UNIX, spec.SocketType() | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd->valid()) return Failed("socket");
  // unix_bind gives the path the mode of the socket's own inode less the umask, so nobody can connect before the mode
  // holds; changing the umask instead would reach files that other threads make at that moment.
  if (named && spec.mode >= 0 && fchmod(fd->get(), static_cast<mode_t>(spec.mode)) < 0) return Failed("fchmod");
  // Before anybody can send: what was sent without it has no sender.
  if (spec.pass_credentials && !SetFlag(fd->get(), SOL_SOCKET, SO_PASSCRED, 1)) return Failed("setsockopt");
  if (bind(fd->get(), address.get(), address.length) < 0) return Failed("bind");
  Failure failure = named && spec.mode >= 0 ? WidenMode(spec.path, spec.mode) : Failure{};
  const bool listens = spec.type != "dgram" && !spec.bind_only;
  if (failure.error == 0 && listens && listen(fd->get(), spec.backlog) < 0) failure = Failed("listen");
  if (failure.error != 0 && named) unlink(spec.path.c_str());
  return failure;
}

bool GetOption(int fd, int level, int option, int* value) {
  socklen_t length = sizeof *value;
  return getsockopt(fd, level, option, value, &length) == 0;
}

}  // namespace

Napi::Value CreateListener(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Spec spec;
  if (!ReadSpec(info[0], &spec)) return env.Undefined();
  UniqueFd fd;
  const Failure failure = spec.family == "unix" ? OpenUnix(spec, &fd) : OpenInet(spec, &fd);
  if (failure.error != 0) return ThrowSystemError(env, failure.error, failure.syscall);
  return Napi::Number::New(env, fd.release());
}

Napi::Value Describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  if (!ReadFd(info[0], &fd)) return env.Undefined();
  // Longer than any address, so that a path of 108 bytes (no closing NUL) is whole.
  sockaddr_storage address = {};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0) return ThrowErrno(env, "getsockname");
  int type;
  int listening;
  int v6only = 0;
  const bool v6 = address.ss_family == AF_INET6;
  const bool inet = v6 || address.ss_family == AF_INET;
  if (!inet && address.ss_family != AF_UNIX) return ThrowSystemError(env, EAFNOSUPPORT, "getsockname");
  if (!GetOption(fd, SOL_SOCKET, SO_TYPE, &type) || !GetOption(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening) ||
      (v6 && !GetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only))) {
    return ThrowErrno(env, "getsockopt");
  }
  if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET) {
    return ThrowSystemError(env, EPROTONOSUPPORT, "getsockopt");
  }
  struct stat status;
  if (fstat(fd, &status) < 0) return ThrowErrno(env, "fstat");

  Napi::Object result = Napi::Object::New(env);
  result.Set("family", v6 ? "inet6" : inet ? "inet" : "unix");
  result.Set("type", type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "dgram" : "seqpacket");
  result.Set("listening", listening != 0);
  if (inet) {
    // sin_port and sin6_port have the same place.
    const uint16_t port = ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
    result.Set("address", InetText(address));
    result.Set("port", static_cast<double>(port));
    result.Set("path", env.Null());
  } else {
    result.Set("address", env.Null());
    result.Set("port", env.Null());
    result.Set("path", UnixPath(address, length));
  }
  result.Set("v6only", v6only != 0);
  result.Set("inode", static_cast<double>(status.st_ino));
  return result;
}

Napi::Value SetBacklog(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  int backlog;
  int listening;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "backlog", 0, INT32_MAX, &backlog)) return env.Undefined();
  if (!GetOption(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening)) return ThrowErrno(env, "getsockopt");
  // listen(2) would turn an unbound TCP socket into a listener on a port that nobody asked for.
  if (listening == 0) return ThrowSystemError(env, EINVAL, "listen");
  if (listen(fd, backlog) < 0) return ThrowErrno(env, "listen");
  return env.Undefined();
}

Napi::Value StartListening(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  int backlog;
  int type;
  if (!ReadFd(info[0], &fd) || !ReadInteger(info[1], "backlog", 0, INT32_MAX, &backlog)) return env.Undefined();
  if (!GetOption(fd, SOL_SOCKET, SO_TYPE, &type)) return ThrowErrno(env, "getsockopt");
  if (type != SOCK_DGRAM) {
    if (listen(fd, backlog) < 0) return ThrowErrno(env, "listen");
    return env.Undefined();
  }
  const int unused = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) < 0) return ThrowErrno(env, "setsockopt");
  return env.Undefined();
}

Napi::Value QueueLength(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  if (!ReadFd(info[0], &fd)) return env.Undefined();
  tcp_info state = {};
  socklen_t length = sizeof state;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) < 0) return ThrowErrno(env, "getsockopt");
  if (state.tcpi_state != TCP_LISTEN) return ThrowSystemError(env, EINVAL, "getsockopt");
  // For a listener these two fields hold sk_ack_backlog and sk_max_ack_backlog (tcp_get_info in the kernel).
  Napi::Object result = Napi::Object::New(env);
  result.Set("waiting", static_cast<double>(state.tcpi_unacked));
  result.Set("backlog", static_cast<double>(state.tcpi_sacked));
  return result;
}

}  // namespace motya
