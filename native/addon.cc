#include <napi.h>

#include "calls.h"

namespace motya {
namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  // Per environment, never static: worker threads load the addon too.
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(DefinePoll(env))));
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("socketpair", SocketPair);
  add("pipe", Pipe);
  add("connectPath", ConnectPath);
  add("accept", Accept);
  add("send", Send);
  add("receive", Receive);
  add("waitReadable", WaitReadable);
  add("peerCredentials", PeerCredentials);
  add("createPoll", CreatePoll);
  add("createListener", CreateListener);
  add("describe", Describe);
  add("setBacklog", SetBacklog);
  add("undeafen", Undeafen);
  add("keepQueue", KeepQueue);
  add("queueLength", QueueLength);
  add("dropSyns", DropSyns);
  add("leaveInterfaces", LeaveInterfaces);
  add("shutdownReceive", ShutdownReceive);
  add("dup", Dup);
  add("close", Close);
  add("setCloexec", SetCloexec);
  add("redirect", Redirect);
  add("isWritable", IsWritable);
  add("widenPipe", WidenPipe);
  add("launch", Launch);
  add("execve", Execve);
  add("becomeSubreaper", BecomeSubreaper);
  add("reap", Reap);
  add("signalChild", SignalChild);
  add("openPidfd", OpenPidfd);
  add("copyFd", CopyFd);
  add("signalPidfd", SignalPidfd);
  add("exitNow", ExitNow);
  add("ignoreRealTimeSignals", IgnoreRealTimeSignals);
  add("lockFile", LockFile);
  add("sealedFile", SealedFile);
  add("findUser", FindUser);
  add("findGroup", FindGroup);
  add("groupsOf", GroupsOf);
  add("notify", Notify);
  add("pidfdId", PidfdId);
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
}  // namespace motya
