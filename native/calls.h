// Every call of the addon; src/base/os/native-calls.ts documents them. Each file defines one concern.
#pragma once

#include <napi.h>

namespace motya {

// channel.cc
Napi::Value SocketPair(const Napi::CallbackInfo& info);
Napi::Value ConnectPath(const Napi::CallbackInfo& info);
Napi::Value Accept(const Napi::CallbackInfo& info);
Napi::Value Send(const Napi::CallbackInfo& info);
Napi::Value Receive(const Napi::CallbackInfo& info);
Napi::Value PeerCredentials(const Napi::CallbackInfo& info);

// poll.cc
Napi::Value CreatePoll(const Napi::CallbackInfo& info);
/** Makes the class behind poll.create; once per environment (main thread or worker). */
Napi::Function DefinePoll(Napi::Env env);

// listener.cc
Napi::Value CreateListener(const Napi::CallbackInfo& info);
Napi::Value Describe(const Napi::CallbackInfo& info);
Napi::Value SetBacklog(const Napi::CallbackInfo& info);
Napi::Value StartListening(const Napi::CallbackInfo& info);
Napi::Value QueueLength(const Napi::CallbackInfo& info);

// retire.cc
Napi::Value DropSyns(const Napi::CallbackInfo& info);
Napi::Value LeaveInterfaces(const Napi::CallbackInfo& info);
Napi::Value ShutdownReceive(const Napi::CallbackInfo& info);

// queue.cc
Napi::Value KeepQueue(const Napi::CallbackInfo& info);

// fd.cc
Napi::Value Pipe(const Napi::CallbackInfo& info);
Napi::Value Dup(const Napi::CallbackInfo& info);
Napi::Value Close(const Napi::CallbackInfo& info);
Napi::Value SetCloexec(const Napi::CallbackInfo& info);
Napi::Value Redirect(const Napi::CallbackInfo& info);
Napi::Value IsWritable(const Napi::CallbackInfo& info);
Napi::Value SetPipeSize(const Napi::CallbackInfo& info);
Napi::Value WaitReadable(const Napi::CallbackInfo& info);

// process.cc
Napi::Value Launch(const Napi::CallbackInfo& info);
Napi::Value Exec(const Napi::CallbackInfo& info);
Napi::Value ExitNow(const Napi::CallbackInfo& info);
Napi::Value IgnoreRealTimeSignals(const Napi::CallbackInfo& info);

// users.cc
Napi::Value FindUser(const Napi::CallbackInfo& info);
Napi::Value FindGroup(const Napi::CallbackInfo& info);
Napi::Value GroupsOf(const Napi::CallbackInfo& info);

// children.cc
Napi::Value BecomeSubreaper(const Napi::CallbackInfo& info);
Napi::Value Reap(const Napi::CallbackInfo& info);
Napi::Value SignalChild(const Napi::CallbackInfo& info);

// pidfd.cc
Napi::Value OpenPidfd(const Napi::CallbackInfo& info);
Napi::Value SignalPidfd(const Napi::CallbackInfo& info);
Napi::Value CopyFd(const Napi::CallbackInfo& info);
Napi::Value PidfdId(const Napi::CallbackInfo& info);

// memfd.cc
Napi::Value CreateMemfd(const Napi::CallbackInfo& info);

// ownership.cc
Napi::Value CreateOwnership(const Napi::CallbackInfo& info);
Napi::Value ExchangeOwner(const Napi::CallbackInfo& info);

// lock.cc
Napi::Value AcquireLock(const Napi::CallbackInfo& info);

// notify.cc
Napi::Value Notify(const Napi::CallbackInfo& info);

}  // namespace motya
