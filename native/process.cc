#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "close_from.h"
#include "unique_fd.h"

namespace motya {
namespace {

struct Spec {
  std::string file;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  /** -1: unchanged. */
  int umask = -1;
  std::vector<int> fds;
  /** Name of a variable that is to hold the program's own pid, or empty. */
  std::string pid_variable;
};

/** Digits of the largest pid (2^22, proc(5)), and some. */
constexpr size_t kPidDigits = 10;

bool ReadSpec(Napi::Value value, Spec* spec) {
  if (!value.IsObject()) {
    ThrowTypeError(value.Env(), "spec must be an object");
    return false;
  }
  const auto object = value.As<Napi::Object>();
  const Napi::Value umask = object.Get("umask");
  const Napi::Value pid_variable = object.Get("pidVariable");
  return ReadCString(object.Get("file"), "file", &spec->file) &&
         ReadCStrings(object.Get("args"), "args", &spec->args) && ReadCStrings(object.Get("env"), "env", &spec->env) &&
         ReadCString(object.Get("cwd"), "cwd", &spec->cwd) && ReadFds(object.Get("fds"), &spec->fds) &&
         (umask.IsUndefined() || ReadInteger(umask, "umask", 0, 0777, &spec->umask)) &&
         (pid_variable.IsUndefined() || ReadCString(pid_variable, "pidVariable", &spec->pid_variable));
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

/** Everything that the children need, made before the fork: they may neither allocate nor take locks. */
struct Plan {
  const char* file;
  char** argv;
  char** envp;
  const char* cwd;
  int umask;
  const int* fds;
  /** Room for a copy of each fd. */
  int* copies;
  int count;
  /** Where the program's pid goes in the environment: room for kPidDigits and a NUL; or null. */
  char* pid_slot;
  /** Write end of the pipe to the parent. */
  int report;
  /** For a child that only calls what is async-signal-safe. */
  pid_t (*fork)();
};

/**
 * _Fork (POSIX.1-2024; glibc 2.34, musl 1.2.2) runs no handler of pthread_atfork in the child, of which libraries in this process
 * have some that are not async-signal-safe; libuv's makes a pipe. Looked up, so that the addon loads with an older C library, too.
 */
pid_t (*FindFork())() {
  void* const found = dlsym(RTLD_DEFAULT, "_Fork");
  return found == nullptr ? fork : reinterpret_cast<pid_t (*)()>(found);
}

enum Step : int { kPid, kSetsid, kFork, kFcntl, kDup2, kChdir, kExecve };

const char* StepName(int step) {
  static const char* const kNames[] = {"", "setsid", "fork", "fcntl", "dup2", "chdir", "execve"};
  return kNames[step];
}

/** One message of the children; smaller than PIPE_BUF, so it is written whole. */
struct Report {
  int step;
  /** The program's pid (kPid), or the errno of the step that failed. */
  int value;
};

// From here to Parent's part only async-signal-safe calls (signal-safety(7)).

void Tell(int fd, Step step, int value) {
  const Report report = {step, value};
  Retry([&] { return write(fd, &report, sizeof report); });
}

[[noreturn]] void Fail(int fd, Step step) {
  Tell(fd, step, errno);
  _exit(127);
}

void ResetSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; number++) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

/** snprintf is not async-signal-safe. */
void WritePid(char* slot) {
  char digits[kPidDigits];
  size_t count = 0;
  for (pid_t rest = getpid(); rest > 0 && count < sizeof digits; rest /= 10) {
    digits[count++] = static_cast<char>('0' + rest % 10);
  }
  for (size_t i = 0; i < count; i++) slot[i] = digits[count - 1 - i];
  slot[count] = '\0';
}

[[noreturn]] void RunProgram(const Plan& plan) {
  ResetSignals();
  if (plan.pid_slot != nullptr) WritePid(plan.pid_slot);
  if (plan.umask >= 0) umask(static_cast<mode_t>(plan.umask));
  // Above every target first: dup2 onto a target may otherwise close an fd that is still to be copied.
  const int report = fcntl(plan.report, F_DUPFD_CLOEXEC, plan.count);
  if (report < 0) Fail(plan.report, kFcntl);
  for (int i = 0; i < plan.count; i++) {
    plan.copies[i] = fcntl(plan.fds[i], F_DUPFD_CLOEXEC, plan.count);
    if (plan.copies[i] < 0) Fail(report, kFcntl);
  }
  for (int i = 0; i < plan.count; i++) {
    if (Retry([&] { return dup2(plan.copies[i], i); }) < 0) Fail(report, kDup2);
  }
  if (chdir(plan.cwd) < 0) Fail(report, kChdir);
  const int last = report == plan.count ? report : dup3(report, plan.count, O_CLOEXEC);
  if (last < 0) Fail(report, kDup2);
  CloseFrom(plan.count + 1);
  execve(plan.file, plan.argv, plan.envp);
  Fail(last, kExecve);
}

[[noreturn]] void RunIntermediate(const Plan& plan) {
  if (setsid() < 0) Fail(plan.report, kSetsid);
  const pid_t pid = plan.fork();
  if (pid < 0) Fail(plan.report, kFork);
  // Second fork: the program leads no session, so it can never get a controlling terminal by opening one.
  if (pid == 0) RunProgram(plan);
  Tell(plan.report, kPid, pid);
  _exit(0);
}

// The parent's part.

pid_t ForkWithoutSignals(const Plan& plan) {
  // No handler of ours may run in a child, where its threads and its loop do not exist.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = plan.fork();
  if (pid == 0) RunIntermediate(plan);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

void WaitFor(pid_t pid) {
  Retry([&] { return waitpid(pid, nullptr, 0); });
}

}  // namespace

Napi::Value Launch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Spec spec;
  if (!ReadSpec(info[0], &spec)) return env.Undefined();
  std::vector<char*> argv = Pointers(spec.args);
  argv.insert(argv.begin(), spec.file.data());
  const bool wants_pid = !spec.pid_variable.empty();
  if (wants_pid) spec.env.push_back(spec.pid_variable + "=" + std::string(kPidDigits, '0'));
  std::vector<char*> envp = Pointers(spec.env);
  char* const pid_slot = wants_pid ? spec.env.back().data() + spec.pid_variable.size() + 1 : nullptr;
  std::vector<int> copies(spec.fds.size());

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return ThrowErrno(env, "pipe2");
  const UniqueFd reports(ends[0]);
  UniqueFd report(ends[1]);
  const Plan plan = {spec.file.c_str(), argv.data(),       envp.data(),     spec.cwd.c_str(), spec.umask,
                     spec.fds.data(),   copies.data(), static_cast<int>(spec.fds.size()), pid_slot, report.get(), FindFork()};
  const pid_t intermediate = ForkWithoutSignals(plan);
  if (intermediate < 0) return ThrowErrno(env, "fork");
  report.reset(-1);

  // The end of the pipe comes when the exec has closed its last copy, or when the children have died.
  pid_t pid = -1;
  Report failure = {kPid, 0};
  Report next;
  while (Retry([&] { return read(reports.get(), &next, sizeof next); }) == sizeof next) {
    if (next.step == kPid) {
      pid = next.value;
    } else {
      failure = next;
    }
  }
  WaitFor(intermediate);
  if (failure.step == kPid && pid > 0) return Napi::Number::New(env, pid);
  // It is our child only if we are PID 1 or a subreaper; then nobody else would reap it.
  if (pid > 0) WaitFor(pid);
  if (failure.step == kPid) return ThrowSystemError(env, ECHILD, "fork");
  return ThrowSystemError(env, failure.value, StepName(failure.step));
}

Napi::Value Exec(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string file;
  std::vector<std::string> args;
  std::vector<std::string> variables;
  std::vector<int> kept;
  if (!ReadCString(info[0], "file", &file) || !ReadCStrings(info[1], "args", &args) ||
      !ReadCStrings(info[2], "env", &variables) || !ReadFds(info[3], &kept)) {
    return env.Undefined();
  }
  const std::vector<char*> argv = Pointers(args);
  const std::vector<char*> envp = Pointers(variables);
  std::vector<int> flags;
  for (const int fd : kept) {
    flags.push_back(fcntl(fd, F_GETFD));
    if (flags.back() >= 0) fcntl(fd, F_SETFD, flags.back() & ~FD_CLOEXEC);
  }
  execve(file.c_str(), argv.data(), envp.data());
  const int error = errno;
  for (size_t i = 0; i < kept.size(); i++) {
    if (flags[i] >= 0) fcntl(kept[i], F_SETFD, flags[i]);
  }
  return ThrowSystemError(env, error, "execve");
}

Napi::Value ExitNow(const Napi::CallbackInfo& info) {
  int status;
  if (!ReadInteger(info[0], "status", 0, 255, &status)) return info.Env().Undefined();
  _exit(status);
}

// Node has no names for these signals, and their default action ends the process (signal(7)). A handler, not SIG_IGN: that would be
// inherited by the programs (execve(2)).
Napi::Value IgnoreRealTimeSignals(const Napi::CallbackInfo& info) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  for (int number = SIGRTMIN; number <= SIGRTMAX; number++) sigaction(number, &action, nullptr);
  return info.Env().Undefined();
}

}  // namespace motya
