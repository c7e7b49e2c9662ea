#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"

namespace motya {
namespace {

/** No living child, and no zombie of ours, can have its pid taken over by another process (waitid(2), WNOWAIT). */
bool IsChild(pid_t pid) {
  siginfo_t state = {};
  return Retry([&] { return waitid(P_PID, static_cast<id_t>(pid), &state, WEXITED | WNOHANG | WNOWAIT); }) == 0;
}

}  // namespace

Napi::Value BecomeSubreaper(const Napi::CallbackInfo& info) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return ThrowErrno(info.Env(), "prctl");
  return info.Env().Undefined();
}

Napi::Value Reap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array ended = Napi::Array::New(env);
  for (;;) {
    int status;
    const pid_t pid = Retry([&] { return waitpid(-1, &status, WNOHANG); });
    if (pid < 0 && errno != ECHILD) return ThrowErrno(env, "waitpid");
    if (pid <= 0) {
      Napi::Object result = Napi::Object::New(env);
      result.Set("ended", ended);
      result.Set("left", pid == 0);
      return result;
    }
    Napi::Object one = Napi::Object::New(env);
    one.Set("pid", pid);
    one.Set("status", WIFEXITED(status) ? Napi::Number::New(env, WEXITSTATUS(status)) : env.Null());
    one.Set("signal", WIFSIGNALED(status) ? Napi::Number::New(env, WTERMSIG(status)) : env.Null());
    ended.Set(ended.Length(), one);
  }
}

Napi::Value SignalChild(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int pid;
  int number;
  if (!ReadInteger(info[0], "pid", 1, INT32_MAX, &pid) || !ReadInteger(info[1], "signal", 0, NSIG - 1, &number)) {
    return env.Undefined();
  }
  // Between the two calls nobody can reap it: waitpid is called on this thread only.
  if (!IsChild(pid)) return Napi::Boolean::New(env, false);
  if (kill(pid, number) < 0) return ThrowErrno(env, "kill");
  return Napi::Boolean::New(env, true);
}

}  // namespace motya
