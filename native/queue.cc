#include <limits.h>
#include <node_api.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <uv.h>

#include <new>

#include "calls.h"
#include "environment.h"
#include "errors.h"

namespace motya {
namespace {

/** A number that is never an fd: for -1 libuv opens a spare one with the next stream. */
constexpr int kNoFd = INT_MAX;

/** What libuv opens as its spare fd: /dev/null, or / where there is none (uv__stream_init). */
bool IsSpare(int fd) {
  struct stat file;
  if (fstat(fd, &file) != 0) return false;
  return S_ISDIR(file.st_mode) || (S_ISCHR(file.st_mode) && file.st_rdev == makedev(1, 3));
}

/**
 * Is `emfile_fd` of the loop where uv.h said it is when the addon was built? Node may bring another libuv. The field is private,
 * so a wrong guess would overwrite something else. Three things must agree: the major version, within which libuv keeps its ABI,
 * and the size of the loop; the fields around it, as public calls report them; and the value of the field itself.
 */
bool IsKnownLayout(uv_loop_t* loop) {
  if (uv_version() >> 16 != UV_VERSION_MAJOR || uv_loop_size() != sizeof(uv_loop_t)) return false;
  // The handle that is in front of the field belongs to the loop and is its SIGCHLD handle.
  const auto* before = reinterpret_cast<const uv_handle_t*>(&loop->child_watcher);
  if (loop->backend_fd != uv_backend_fd(loop) || uv_handle_get_loop(before) != loop ||
      uv_handle_get_type(before) != UV_SIGNAL) {
    return false;
  }
  // kNoFd: a second copy of the addon in this environment has set it.
  const int spare = loop->emfile_fd;
  return spare == -1 || spare == kNoFd || IsSpare(spare);
}

}  // namespace

/**
 * When accept(2) says EMFILE, libuv closes its spare fd, accepts and closes every connection in the queue with it, and opens the
 * next one (uv__emfile_trick). Looks after each round of I/O, so that there never is one.
 */
class QueueKeeper {
 public:
  /** Null with an exception pending. */
  static QueueKeeper* Start(Napi::Env env, uv_loop_t* loop) {
    auto* keeper = new (std::nothrow) QueueKeeper();
    if (keeper == nullptr) {
      ThrowSystemError(env, ENOMEM, "uv_check_init");
      return nullptr;
    }
    uv_check_init(loop, &keeper->check_);
    keeper->check_.data = keeper;
    // As in poll.cc: the kind of hook that waits for the close callback.
    if (napi_add_async_cleanup_hook(env, OnTeardown, keeper, &keeper->hook_) != napi_ok) {
      uv_close(keeper->Handle(), [](uv_handle_t* handle) { delete static_cast<QueueKeeper*>(handle->data); });
      Napi::Error::New(env).ThrowAsJavaScriptException();
      return nullptr;
    }
    uv_check_start(&keeper->check_, [](uv_check_t* check) { static_cast<QueueKeeper*>(check->data)->Look(); });
    uv_unref(keeper->Handle());
    keeper->Look();
    keeper->met_ = false;
    return keeper;
  }

  bool TakeMet() {
    const bool met = met_;
    met_ = false;
    return met;
  }

 private:
  uv_handle_t* Handle() { return reinterpret_cast<uv_handle_t*>(&check_); }

  void Look() {
    int& spare = check_.loop->emfile_fd;
    if (spare == kNoFd) return;
    if (spare != -1) close(spare);
    spare = kNoFd;
    met_ = true;
  }

  static void OnTeardown(napi_async_cleanup_hook_handle, void* data) {
    uv_close(static_cast<QueueKeeper*>(data)->Handle(), [](uv_handle_t* handle) {
      auto* keeper = static_cast<QueueKeeper*>(handle->data);
      handle->loop->emfile_fd = -1;
      napi_remove_async_cleanup_hook(keeper->hook_);
      delete keeper;
    });
  }

  uv_check_t check_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool met_ = false;
};

Napi::Value KeepQueue(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto*& keeper = env.GetInstanceData<Environment>()->queue_keeper;
  if (keeper == nullptr) {
    uv_loop_t* loop;
    // Null: libuv goes on as it does by itself.
    if (napi_get_uv_event_loop(env, &loop) != napi_ok || !IsKnownLayout(loop)) return env.Null();
    keeper = QueueKeeper::Start(env, loop);
    if (keeper == nullptr) return env.Undefined();
  }
  return Napi::Boolean::New(env, keeper->TakeMet());
}

}  // namespace motya
