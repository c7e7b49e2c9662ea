/*
 * One connection that moves: MOVE and MOVED of src/handover/connection-moves.ts, between a worker that drains and one of the other
 * generation, over their two supervisors. Each of the four is killed, or is late, at any moment, up to FAULTS times. The word of
 * the connection is src/runtime/move-ownership.ts.
 *
 * Holds: no two workers read the connection, in any state. And at the end of every run a worker reads it, unless the one that owned it
 * was killed.
 */
#ifndef FAULTS
#define FAULTS 2
#endif

#define SENDER 0
#define FIRST 1
#define SECOND 2
#define RECEIVER 3

/* States of the word. */
#define SENDERS 0
#define OFFERED 1
#define RECEIVERS 2

byte word = SENDERS;
bool reads[4];
bool alive[4];
byte faults = 0;
/* The owner was killed while it read: the connection ends with it, as in any crash. */
bool isLost = false;

/* A message each; a process that dies takes along what it has not passed on. */
chan toFirst = [1] of { bit };
chan toSecond = [1] of { bit };
chan toReceiver = [2] of { bit };
chan back = [2] of { bit };

#define MOVE 0
/* The receiver has it, or not; nothing relies on the difference, except for a mutant. */
#define TAKEN 1
#define NOT_TAKEN 0

inline kill(who) {
  alive[who] -> atomic {
    alive[who] = false;
    if
    :: reads[who] -> reads[who] = false; isLost = true
    :: else
    fi
  }
}

active proctype faultMaker() {
  do
  :: faults < FAULTS -> faults++;
    if
    :: kill(SENDER)
    :: kill(FIRST)
    :: kill(SECOND)
    :: kill(RECEIVER)
    :: skip
    fi
  :: break
  od
}

inline settle(answer) {
#ifdef MUTANT_ACKNOWLEDGED
  /* An answer decides, in place of the word. */
  if
  :: answer == TAKEN
  :: else -> word = SENDERS; reads[SENDER] = true
  fi
#else
  if
  :: word == OFFERED -> word = SENDERS; reads[SENDER] = true
  :: else
  fi
#endif
}

proctype sender() {
  bit answer;
  if
  :: atomic { alive[SENDER] -> word = OFFERED; reads[SENDER] = false; toFirst!MOVE }
    if
    :: atomic { alive[SENDER] && nempty(back) -> back?answer; settle(answer) }
    /* MOVED_MS have passed, or the supervisor is gone: at any moment. */
    :: atomic { alive[SENDER] -> settle(NOT_TAKEN) }
    :: !alive[SENDER]
    fi
  :: !alive[SENDER]
  fi
}

proctype first() {
  bit move;
  end: toFirst?move;
  if
  :: alive[FIRST] -> toSecond!move
  :: !alive[FIRST]
  fi
}

proctype second() {
  bit move;
  end: toSecond?move;
  if
  :: alive[SECOND] -> toReceiver!move
  /* It comes twice. */
  :: alive[SECOND] -> toReceiver!move; toReceiver!move
  :: !alive[SECOND]
  fi
}

proctype receiver() {
  bit move;
  end: do
  :: toReceiver?move ->
    if
    :: !alive[RECEIVER]
    :: atomic {
      alive[RECEIVER] ->
#ifdef MUTANT_ADOPTS_AT_ONCE
      word = RECEIVERS; reads[RECEIVER] = true; back!TAKEN
#else
      if
      :: word == OFFERED -> word = RECEIVERS; reads[RECEIVER] = true; back!TAKEN
      :: else -> back!NOT_TAKEN
      fi
#endif
    }
    fi
  od
}

active proctype oneReader() {
  end: assert(!(reads[SENDER] && reads[RECEIVER]))
}

init {
  atomic {
    alive[SENDER] = true; alive[FIRST] = true; alive[SECOND] = true; alive[RECEIVER] = true;
    reads[SENDER] = true;
    run sender(); run first(); run second(); run receiver()
  }
  /* Nothing moves any more. */
  timeout -> assert(isLost || reads[SENDER] || reads[RECEIVER] || (word == OFFERED && !alive[SENDER]))
}
