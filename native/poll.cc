#include <node_api.h>
#include <uv.h>

#include "arguments.h"
#include "calls.h"

namespace motya {
namespace {

/**
 * A uv_poll on the environment's own loop. It outlives its JS object: libuv needs the memory until its close callback,
 * which runs after close() has returned, and after the JS heap is out of reach when a worker thread is terminated.
 */
class Watcher {
 public:
  /** @returns 0, or libuv's error; then the watcher is gone. */
  static int Create(Napi::Env env, int fd, Napi::Function callback, Watcher** out) {
    uv_loop_t* loop;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return UV_EINVAL;
    auto* watcher = new Watcher(env);
    const int error = uv_poll_init(loop, &watcher->handle_, fd);
    if (error != 0) {
      delete watcher;
      return error;
    }
    watcher->handle_.data = watcher;
    napi_create_reference(env, callback, 1, &watcher->callback_);
    napi_async_init(env, callback, Napi::String::New(env, "MotyaPoll"), &watcher->context_);
    // The asynchronous kind: Node then turns the loop until our close callback has run. A synchronous hook that calls
    // uv_close crashes at worker.terminate().
    napi_add_async_cleanup_hook(env, OnTeardown, watcher, &watcher->hook_);
    *out = watcher;
    return 0;
  }

  int Watch(int events) {
    asked_ = events;
    return events == 0 ? uv_poll_stop(&handle_) : uv_poll_start(&handle_, events, OnEvents);
  }

  void Ref() { uv_ref(Handle()); }
  void Unref() { uv_unref(Handle()); }

  void Close() {
    if (callback_ == nullptr) return;
    napi_delete_reference(env_, callback_);
    napi_async_destroy(env_, context_);
    callback_ = nullptr;
    uv_poll_stop(&handle_);
    uv_close(Handle(), [](uv_handle_t* handle) {
      auto* watcher = static_cast<Watcher*>(handle->data);
      napi_remove_async_cleanup_hook(watcher->hook_);
      delete watcher;
    });
  }

 private:
  explicit Watcher(napi_env env) : env_(env) {}

  uv_handle_t* Handle() { return reinterpret_cast<uv_handle_t*>(&handle_); }

  static void OnTeardown(napi_async_cleanup_hook_handle, void* data) { static_cast<Watcher*>(data)->Close(); }

  static void OnEvents(uv_poll_t* handle, int status, int events) {
    auto* watcher = static_cast<Watcher*>(handle->data);
    if (status < 0) {
      // EPOLLERR (a peer that died with messages unread): libuv stops the handle and hides the events. The next
      // system call on the fd tells what is wrong, so let the owner make it.
      events = watcher->asked_;
      uv_poll_start(handle, events, OnEvents);
    }
    watcher->Call(events & (UV_READABLE | UV_WRITABLE));
  }

  void Call(int events) {
    const Napi::Env env(env_);
    const Napi::HandleScope scope(env);
    napi_value callback;
    napi_value receiver;
    if (napi_get_reference_value(env_, callback_, &callback) != napi_ok || callback == nullptr) return;
    // napi_make_callback wants an object to call on; the global one is what a plain call would use.
    napi_get_global(env_, &receiver);
    const napi_value argument = Napi::Number::New(env, events);
    const napi_status status = napi_make_callback(env_, context_, receiver, callback, 1, &argument, nullptr);
    bool thrown = false;
    if (status != napi_pending_exception || napi_is_exception_pending(env_, &thrown) != napi_ok || !thrown) return;
    napi_value exception;
    if (napi_get_and_clear_last_exception(env_, &exception) == napi_ok) napi_fatal_exception(env_, exception);
  }

  napi_env env_;
  uv_poll_t handle_ = {};
  napi_ref callback_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  int asked_ = 0;
};

/** The JS side: forgets its watcher at close(), so that later calls do nothing. */
class Poll : public Napi::ObjectWrap<Poll> {
 public:
  explicit Poll(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Poll>(info) {
    int fd;
    if (!ReadFd(info[0], &fd)) return;
    if (!info[1].IsFunction()) {
      ThrowTypeError(info.Env(), "callback must be a function");
      return;
    }
    const int error = Watcher::Create(info.Env(), fd, info[1].As<Napi::Function>(), &watcher_);
    if (error != 0) ThrowSystemError(info.Env(), -error, "uv_poll_init");
  }

  Napi::Value Watch(const Napi::CallbackInfo& info) {
    int events;
    if (!ReadInteger(info[0], "events", 0, UV_READABLE | UV_WRITABLE, &events)) return info.Env().Undefined();
    const int error = watcher_ == nullptr ? 0 : watcher_->Watch(events);
    if (error != 0) return ThrowSystemError(info.Env(), -error, "uv_poll_start");
    return info.Env().Undefined();
  }

  Napi::Value RefLoop(const Napi::CallbackInfo& info) {
    if (watcher_ != nullptr) watcher_->Ref();
    return info.Env().Undefined();
  }

  Napi::Value UnrefLoop(const Napi::CallbackInfo& info) {
    if (watcher_ != nullptr) watcher_->Unref();
    return info.Env().Undefined();
  }

  Napi::Value CloseHandle(const Napi::CallbackInfo& info) {
    if (watcher_ != nullptr) watcher_->Close();
    watcher_ = nullptr;
    return info.Env().Undefined();
  }

 private:
  Watcher* watcher_ = nullptr;
};

}  // namespace

Napi::Function DefinePoll(Napi::Env env) {
  return Poll::DefineClass(env, "Poll",
                           {Poll::InstanceMethod("watch", &Poll::Watch), Poll::InstanceMethod("ref", &Poll::RefLoop),
                            Poll::InstanceMethod("unref", &Poll::UnrefLoop),
                            Poll::InstanceMethod("close", &Poll::CloseHandle)});
}

Napi::Value CreatePoll(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<Napi::FunctionReference>()->New({info[0], info[1]});
}

}  // namespace motya
