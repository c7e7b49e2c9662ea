#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <memory>
#include <new>

#include "arguments.h"
#include "calls.h"

namespace motya {
namespace {

/** The largest id; the one above it means "none" to the kernel (setresuid(2)). */
constexpr double kMaxId = 4294967294.0;

/** For the texts of one entry: _SC_GETPW_R_SIZE_MAX is only a first guess (getpwnam(3)). */
constexpr size_t kFirstBuffer = 1024;
/** A group of a directory service may have many thousands of members. */
constexpr size_t kLargestBuffer = 16 << 20;

struct Who {
  bool by_name = false;
  std::string name;
  uint32_t id = 0;
};

bool ReadWho(Napi::Value value, Who* who) {
  if (value.IsString()) {
    who->by_name = true;
    return ReadCString(value, "name", &who->name);
  }
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= kMaxId) || number != floor(number)) {
    ThrowTypeError(value.Env(), "an id must be an integer from 0 to 4294967294");
    return false;
  }
  who->id = static_cast<uint32_t>(number);
  return true;
}

/** These say that there is no such entry, each in some service's words (getpwnam(3)). */
bool IsAbsent(int error) { return error == ENOENT || error == ESRCH || error == EBADF || error == EPERM; }

/** Room that a look-up fills, made larger until it is enough. */
template <typename T>
class Room {
 public:
  bool Resize(size_t size) {
    items_.reset(new (std::nothrow) T[size]);
    size_ = items_ == nullptr ? 0 : size;
    return items_ != nullptr;
  }
  T* data() { return items_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<T[]> items_;
  size_t size_ = 0;
};

/**
 * Calls one of the reentrant look-ups with a buffer that is large enough for the entry.
 * @returns 0 with found or no entry, else an errno.
 */
template <typename Entry, typename Call>
int LookUp(Room<char>* buffer, Entry* entry, Entry** found, Call call) {
  for (size_t size = kFirstBuffer; buffer->Resize(size);) {
    const int error = call(entry, buffer->data(), size, found);
    if (error == EINTR) continue;
    if (error == ERANGE && size < kLargestBuffer) {
      size *= 2;
      continue;
    }
    if (*found == nullptr && IsAbsent(error)) return 0;
    return error;
  }
  return ENOMEM;
}

}  // namespace

// The look-ups block: they run when settings are read, and a directory service answers in milliseconds or has a time limit
// of its own.

Napi::Value FindUser(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Who who;
  if (!ReadWho(info[0], &who)) return env.Undefined();
  Room<char> buffer;
  passwd entry;
  passwd* found = nullptr;
  const int error = LookUp(&buffer, &entry, &found, [&](passwd* to, char* text, size_t size, passwd** result) {
    return who.by_name ? getpwnam_r(who.name.c_str(), to, text, size, result)
                       : getpwuid_r(who.id, to, text, size, result);
  });
  if (error != 0) return ThrowSystemError(env, error, "getpwnam");
  if (found == nullptr) return env.Null();
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", entry.pw_name);
  result.Set("uid", static_cast<double>(entry.pw_uid));
  result.Set("gid", static_cast<double>(entry.pw_gid));
  result.Set("home", entry.pw_dir);
  return result;
}

Napi::Value FindGroup(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string name;
  if (!ReadCString(info[0], "name", &name)) return env.Undefined();
  Room<char> buffer;
  group entry;
  group* found = nullptr;
  const int error = LookUp(&buffer, &entry, &found, [&](group* to, char* text, size_t size, group** result) {
    return getgrnam_r(name.c_str(), to, text, size, result);
  });
  if (error != 0) return ThrowSystemError(env, error, "getgrnam");
  if (found == nullptr) return env.Null();
  return Napi::Number::New(env, static_cast<double>(entry.gr_gid));
}

Napi::Value GroupsOf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string name;
  Who group;
  if (!ReadCString(info[0], "name", &name) || !ReadWho(info[1], &group)) return env.Undefined();
  Room<gid_t> groups;
  int count = 32;
  for (;;) {
    if (!groups.Resize(static_cast<size_t>(count))) return ThrowSystemError(env, ENOMEM, "getgrouplist");
    if (getgrouplist(name.c_str(), group.id, groups.data(), &count) >= 0) break;
    // glibc says how many there are; musl does too. A count that has not grown would loop for ever.
    count = std::max(count, static_cast<int>(groups.size()) * 2);
  }
  Napi::Array result = Napi::Array::New(env, static_cast<size_t>(count));
  for (int i = 0; i < count; i++) result.Set(static_cast<uint32_t>(i), static_cast<double>(groups.data()[i]));
  return result;
}

}  // namespace motya
