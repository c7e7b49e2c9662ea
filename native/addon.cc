#include <napi.h>

#include <initializer_list>
#include <new>

#include "calls.h"
#include "environment.h"
#include "errors.h"

namespace motya {
namespace {

struct Entry {
  const char* name;
  Napi::Value (*call)(const Napi::CallbackInfo&);
};

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  // Per environment, never static: worker threads load the addon too.
  auto* environment = new (std::nothrow) Environment{Napi::Persistent(DefinePoll(env)), nullptr};
  if (environment == nullptr) {
    ThrowSystemError(env, ENOMEM, "napi_set_instance_data");
    return exports;
  }
  env.SetInstanceData(environment);
  const auto add = [&](const char* group, std::initializer_list<Entry> entries) {
    Napi::Object calls = Napi::Object::New(env);
    for (const Entry& entry : entries) calls.Set(entry.name, Napi::Function::New(env, entry.call, entry.name));
    exports.Set(group, calls);
  };
  add("channel", {{"pair", SocketPair},
                  {"connect", ConnectPath},
                  {"accept", Accept},
                  {"send", Send},
                  {"receive", Receive},
                  {"peerCredentials", PeerCredentials}});
  add("children", {{"becomeSubreaper", BecomeSubreaper}, {"reap", Reap}, {"signal", SignalChild}});
  add("fd", {{"pipe", Pipe},
             {"dup", Dup},
             {"close", Close},
             {"setCloexec", SetCloexec},
             {"redirect", Redirect},
             {"setPipeSize", SetPipeSize},
             {"isWritable", IsWritable},
             {"waitReadable", WaitReadable}});
  add("listener", {{"create", CreateListener},
                   {"describe", Describe},
                   {"setBacklog", SetBacklog},
                   {"startListening", StartListening},
                   {"queueLength", QueueLength}});
  add("lock", {{"acquire", AcquireLock}});
  add("memfd", {{"create", CreateMemfd}});
  add("notify", {{"send", Notify}});
  add("ownership", {{"create", CreateOwnership}, {"exchange", ExchangeOwner}});
  add("pidfd", {{"open", OpenPidfd}, {"signal", SignalPidfd}, {"copyFd", CopyFd}, {"idOf", PidfdId}});
  add("poll", {{"create", CreatePoll}});
  add("process", {{"launch", Launch},
                  {"exec", Exec},
                  {"exitNow", ExitNow},
                  {"ignoreRealTimeSignals", IgnoreRealTimeSignals}});
  add("queue", {{"keep", KeepQueue}});
  add("retire", {{"dropSyns", DropSyns}, {"leaveInterfaces", LeaveInterfaces}, {"shutdownReceive", ShutdownReceive}});
  add("users", {{"find", FindUser}, {"findGroup", FindGroup}, {"groupsOf", GroupsOf}});
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
}  // namespace motya
