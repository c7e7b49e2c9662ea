#pragma once

#include <napi.h>

namespace motya {

class QueueKeeper;

/** What the addon keeps for one environment: the main thread, or a worker thread (napi_set_instance_data). */
struct Environment {
  /** The class behind poll.create. */
  Napi::FunctionReference poll;
  /** Null until queue.keep is called. It is torn down with the environment, in which no JS runs after that. */
  QueueKeeper* queue_keeper;
};

}  // namespace motya
