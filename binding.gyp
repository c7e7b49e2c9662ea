{
  "targets": [
    {
      "target_name": "motya",
      "sources": [
        "native/addon.cc",
        "native/channel.cc",
        "native/children.cc",
        "native/fd.cc",
        "native/listener.cc",
        "native/lock.cc",
        "native/memfd.cc",
        "native/notify.cc",
        "native/ownership.cc",
        "native/pidfd.cc",
        "native/poll.cc",
        "native/process.cc",
        "native/queue.cc",
        "native/retire.cc",
        "native/users.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS"],
      # Thin calls into the kernel gain nothing from -O3, which takes twice as long to compile.
      "cflags!": ["-O3"],
      "cflags_cc": ["-O1", "-std=c++17", "-fno-exceptions", "-Wall", "-Wextra", "-Werror"]
    }
  ]
}
