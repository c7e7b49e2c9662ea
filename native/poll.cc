#include <node_api.h>
#include <uv.h>

#include <new>
#include <utility>

#include "arguments.h"
#include "calls.h"
#include "environment.h"

namespace motya {
namespace {

/**
 * A uv_poll on the environment's own loop. It outlives its JS object: libuv needs the memory until its close callback,
 * which runs after close() has returned, and after the JS heap is out of reach when a worker thread is terminated.
 */
class Watcher {
 public:
  /** @returns null with an exception pending; then nothing is left. */
  static Watcher* Create(Napi::Env env, int fd, Napi::Function callback) {
    uv_loop_t* loop;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Failed(env);
    auto* watcher = new (std::nothrow) Watcher(env);
    const int error = watcher == nullptr ? UV_ENOMEM : uv_poll_init(loop, &watcher->handle_, fd);
    if (error != 0) {
      delete watcher;
      ThrowSystemError(env, -error, "uv_poll_init");
      return nullptr;
    }
    watcher->handle_.data = watcher;
    if (watcher->Attach(callback)) return watcher;
    watcher->Close();
    return Failed(env);
  }

  int Watch(int events) {
    asked_ = events;
    return events == 0 ? uv_poll_stop(&handle_) : uv_poll_start(&handle_, events, OnEvents);
  }

  void Ref() { uv_ref(Handle()); }
  void Unref() { uv_unref(Handle()); }

  void Close() {
    if (is_closing_) return;
    is_closing_ = true;
    // Of an environment that is torn down these may fail, and there is nothing left to do about it.
    if (callback_ != nullptr) napi_delete_reference(env_, std::exchange(callback_, nullptr));
    if (context_ != nullptr) napi_async_destroy(env_, std::exchange(context_, nullptr));
    uv_poll_stop(&handle_);
    uv_close(Handle(), [](uv_handle_t* handle) {
      auto* watcher = static_cast<Watcher*>(handle->data);
      if (watcher->hook_ != nullptr) napi_remove_async_cleanup_hook(watcher->hook_);
      delete watcher;
    });
  }

 private:
  explicit Watcher(napi_env env) : env_(env) {}

  /** The exception of a Node-API call that failed, if it has left none itself. */
  static Watcher* Failed(Napi::Env env) {
    if (!env.IsExceptionPending()) Napi::Error::New(env).ThrowAsJavaScriptException();
    return nullptr;
  }

  bool Attach(Napi::Function callback) {
    napi_value name;
    // The asynchronous kind of hook: Node then turns the loop until our close callback has run. A synchronous one that calls
    // uv_close crashes at worker.terminate().
    return napi_create_reference(env_, callback, 1, &callback_) == napi_ok &&
           napi_create_string_utf8(env_, "MotyaPoll", NAPI_AUTO_LENGTH, &name) == napi_ok &&
           napi_async_init(env_, callback, name, &context_) == napi_ok &&
           napi_add_async_cleanup_hook(env_, OnTeardown, this, &hook_) == napi_ok;
  }

  uv_handle_t* Handle() { return reinterpret_cast<uv_handle_t*>(&handle_); }

  static void OnTeardown(napi_async_cleanup_hook_handle, void* data) { static_cast<Watcher*>(data)->Close(); }

  static void OnEvents(uv_poll_t* handle, int status, int events) {
    auto* watcher = static_cast<Watcher*>(handle->data);
    if (status < 0) {
      // EPOLLERR (a peer that died with messages unread): libuv stops the handle and hides the events. The next
      // system call on the fd tells what is wrong, so let the owner make it.
      events = watcher->asked_;
      const int error = uv_poll_start(handle, events, OnEvents);
      // Nothing watches the fd any more: without a word its owner would wait for ever.
      if (error != 0) return watcher->Report(error);
    }
    watcher->Call(events & (UV_READABLE | UV_WRITABLE));
  }

  void Call(int events) {
    const Napi::Env env(env_);
    const Napi::HandleScope scope(env);
    napi_value callback;
    napi_value receiver;
    napi_value argument;
    // napi_make_callback wants an object to call on; the global one is what a plain call would use.
    napi_status status = napi_get_reference_value(env_, callback_, &callback);
    if (status == napi_ok) status = napi_get_global(env_, &receiver);
    if (status == napi_ok) status = napi_create_int32(env_, events, &argument);
    if (status == napi_ok) status = napi_make_callback(env_, context_, receiver, callback, 1, &argument, nullptr);
    // Any other status is that of an environment in which no JS may run any more: it is being torn down, and closes this.
    if (status == napi_pending_exception) ThrowPending();
  }

  /** As an exception that the callback has thrown. */
  void Report(int error) {
    const Napi::Env env(env_);
    const Napi::HandleScope scope(env);
    ThrowSystemError(env, -error, "uv_poll_start");
    ThrowPending();
  }

  /** Gives the exception to `uncaughtException`: no JS is on the stack that could catch it. */
  void ThrowPending() {
    napi_value exception;
    if (napi_get_and_clear_last_exception(env_, &exception) == napi_ok) napi_fatal_exception(env_, exception);
  }

  napi_env env_;
  uv_poll_t handle_ = {};
  napi_ref callback_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  int asked_ = 0;
  bool is_closing_ = false;
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
    watcher_ = Watcher::Create(info.Env(), fd, info[1].As<Napi::Function>());
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
  return info.Env().GetInstanceData<Environment>()->poll.New({info[0], info[1]});
}

}  // namespace motya
