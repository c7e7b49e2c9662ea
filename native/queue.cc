#include <limits.h>
#include <node_api.h>
#include <unistd.h>
#include <uv.h>

#include "calls.h"

namespace motya {
namespace {

/** A number that is never an fd: for -1 libuv opens a spare one with the next stream. */
constexpr int kNoFd = INT_MAX;

/**
 * When accept(2) says EMFILE, libuv closes its spare fd, with which it accepts and closes everybody who waits, and opens the
 * next one (uv__emfile_trick; uv_loop_t is part of libuv's ABI). Looks after each round of I/O, so that there never is one.
 */
class Keeper {
 public:
  static Keeper* Start(Napi::Env env, uv_loop_t* loop) {
    auto* keeper = new Keeper();
    uv_check_init(loop, &keeper->check_);
    keeper->check_.data = keeper;
    uv_check_start(&keeper->check_, [](uv_check_t* check) { static_cast<Keeper*>(check->data)->Look(); });
    uv_unref(keeper->Handle());
    // As in poll.cc: the kind of hook that waits for the close callback.
    napi_add_async_cleanup_hook(env, OnTeardown, keeper, &keeper->hook_);
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
    uv_close(static_cast<Keeper*>(data)->Handle(), [](uv_handle_t* handle) {
      auto* keeper = static_cast<Keeper*>(handle->data);
      handle->loop->emfile_fd = -1;
      napi_remove_async_cleanup_hook(keeper->hook_);
      delete keeper;
    });
  }

  uv_check_t check_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool met_ = false;
};

}  // namespace

Napi::Value KeepQueue(const Napi::CallbackInfo& info) {
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(info.Env(), &loop) != napi_ok) return info.Env().Undefined();
  // Per thread, as loops are; torn down with the environment that made it.
  static thread_local Keeper* keeper = nullptr;
  if (keeper == nullptr) keeper = Keeper::Start(info.Env(), loop);
  return Napi::Boolean::New(info.Env(), keeper->TakeMet());
}

}  // namespace motya
