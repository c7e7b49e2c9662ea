/*
 * The hand-over as a Promela model (spinroot.com), of src/handover/ and src/supervisor/: a first instance, successors, a rival that
 * starts as if none ran, and a world that kills, stops, freezes and upgrades them at any moment.
 *
 * What it holds:
 * - HELD, in every state: since the first start a process that can be counted on holds the listeners, so no client is refused.
 *   Only a fault that hits the last one of them (its death, its user's stop) ends that, never a step of the protocol.
 * - QUIET, where nothing moves any more: a process accepts wherever one holds listeners, so no client hangs for ever; there
 *   is one owner, its pidfile names it, it holds the lock, and the path of a unix listener leads to it.
 * - Every run comes to such a state: there is no deadlock, and no cycle at all. So "at last" is "in the end", and the last
 *   sentence is <>[]: an instance that pauses between COMMIT and LIVE accepts again or has a successor that does.
 *
 * What is left out, and why that hides nothing:
 * - Time. A deadline may strike whenever an instance waits for it: any relation between the constants of src/base/limits.ts is covered,
 *   and a process that sleeps (SIGSTOP, a busy machine) and goes on later is one that is late here. One thing is assumed of
 *   deadlines, and the code sees to it (Dialogue): what the peer's end has left unread is read before one strikes.
 *   A lease ends at any moment, too.
 * - A turn of the event loop is atomic, but for the places where death in its middle can be seen from outside.
 * - One listener stands for all: they go over together or not at all. It has a path, as a unix listener has.
 * - The control socket's path: it is published and had back in the same turns as the pidfile, which stands for both.
 * - Workers are their supervisor's: its death takes their accepting away (they notice within a turn), its freezing does not.
 * - Messages whose content decides nothing here (PROVING, LEFT_OUT, STATS) are sent once, not each second: else no run would end.
 *
 * Names of phases are those of phases.ts, of messages those of messages.ts; phases change by STEP alone. A test compares.
 * MUTANT_*: what the protocol would be without one of its rules. The test sees each of them fail.
 */

#ifndef INSTANCES
#define INSTANCES 3
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef FREEZES
#define FREEZES 1
#endif
#ifndef UPGRADES
#define UPGRADES 2
#endif
#ifndef RIVALS
#define RIVALS 1
#endif
#define NOBODY INSTANCES

mtype:phase = {
  starting,
  waiting, adopting, booting, ready, taking, alone,
  probation, serving,
  finding, offering, awaiting, pausing, committed, standby, resuming, draining,
  stopping, ended
};

mtype:message = {
  HELLO, ADOPTED, READY, LIVE, PROVING, LEFT_OUT, SETTLED, ROLLBACK,
  OFFER, FDS, LOCK, STATE, COMMIT, STATS, DRAINING, REVOKED, PREDECESSOR, BYE,
  ABORT
};

/* Of each instance, as the kernel has it. */
bool alive[INSTANCES];
bool frozen[INSTANCES];    /* SIGSTOP without SIGCONT: it does nothing any more, and nothing of it is released */
bool holds[INSTANCES];     /* the listener's open file, also when it is on its way in FDS */
bool locks[INSTANCES];     /* the pidfile's open lock file, also when it is on its way in LOCK */
bool accepts[INSTANCES];   /* its workers accept */
bool lease[INSTANCES];     /* its paused workers will accept again by themselves */
byte pidfile = NOBODY;     /* whom the file names */
bool path;                 /* the unix listener's file leads to it */
byte waiter = NOBODY;      /* who listens on the upgrade socket: its lock lets one do so at a time */

/* The conversation with each successor: its incumbent, both ends, what is on its way. */
byte incumbentOf[INSTANCES] = NOBODY;
bool incumbentEnd[INSTANCES];
bool successorEnd[INSTANCES];
chan down[INSTANCES] = [6] of { mtype:message };
chan up[INSTANCES] = [6] of { mtype:message };

/* What an instance knows. */
mtype:phase phase[INSTANCES];
hidden mtype:message lost;
bool told[INSTANCES];      /* SIGTERM has come */
bool quit[INSTANCES];      /* SIGQUIT waits to be heard */
byte watched[INSTANCES] = NOBODY;   /* the incumbent that a waiting successor watches over the control socket */
bool gone[INSTANCES];      /* it has heard GONE there */
byte reclaimer[INSTANCES] = NOBODY; /* who waits for its end, to have its pidfile back (reclaimAfter) */
bool isWithoutTrial[INSTANCES];       /* `probation: 0` */
bool settledSaid[INSTANCES];

/* Of the claims. */
bool founded;              /* the first start has succeeded */
bool outage;               /* a fault has hit the last one that could be counted on */
byte faults = FAULTS;
byte stops = STOPS;
byte freezes = FREEZES;
byte upgrades = UPGRADES;

#define RUNS(i) (alive[i] && !frozen[i])
#define REVOKING(i) (down[i]??[ABORT] || down[i]??[REVOKED])
#define UNDECIDED(i) (incumbentOf[i] != NOBODY && phase[incumbentOf[i] % INSTANCES] == committed && told[incumbentOf[i] % INSTANCES] && RUNS(incumbentOf[i] % INSTANCES))
#define IS_MAIN(i) (phase[i] == probation || phase[i] == serving || phase[i] == finding || phase[i] == offering || phase[i] == awaiting || phase[i] == pausing)
#define SUCCESSOR_SETTLES(i, s) (incumbentOf[s] == i && incumbentEnd[s] && (settledSaid[s] || told[s] || isWithoutTrial[s]) && (phase[i] == standby || up[s]??[LIVE]))
#if INSTANCES == 2
#define SOME(what) (what(0) || what(1))
#define NUMBER(what) ((what(0)) + (what(1)))
#define SUCCESSORS_SETTLE(i) (SUCCESSOR_SETTLES(i, 0) || SUCCESSOR_SETTLES(i, 1))
#else
#define SOME(what) (what(0) || what(1) || what(2))
#define NUMBER(what) ((what(0)) + (what(1)) + (what(2)))
#define SUCCESSORS_SETTLE(i) (SUCCESSOR_SETTLES(i, 0) || SUCCESSOR_SETTLES(i, 1) || SUCCESSOR_SETTLES(i, 2))
#endif

/*
 * It lives, was not told to end, has the listener, and goes on with it whatever the others do: it is the owner; or on the way to
 * be that and not told to give up; or its successor can still fail its probation.
 */
#define COUNTS(i) (RUNS(i) && !told[i] && holds[i] && ( \
    phase[i] == starting || phase[i] == resuming || phase[i] == alone \
    || ((IS_MAIN(i) || phase[i] == taking) && !REVOKING(i) && !UNDECIDED(i)) \
    || ((phase[i] == committed || phase[i] == standby) && !SUCCESSORS_SETTLE(i)) \
    || ((phase[i] == adopting || phase[i] == booting || phase[i] == ready) && !REVOKING(i) && !incumbentEnd[i])))

#define LOCKED(i) locks[i]
#define HOLDER(i) holds[i]
#define ACCEPTOR(i) accepts[i]

#define HELD (!founded || outage || SOME(COUNTS))

/* After a fault; an instance that goes live ends the outage. */
#define SERVES outage = (outage || told[me]) && !SOME(COUNTS)
#define SUFFER outage = outage || !SOME(COUNTS)

/* Something of its own breaks: its program, its disk. */
#define FAULT faults > 0 -> faults--; told[me] = true; printf("%d breaks\n", me); SUFFER

/* `spin -t` prints the way to an error. */
#define STEP(from, event, to) assert(phase[me] == from); phase[me] = to; printf("%d is %e\n", me, phase[me])

/* The incumbent has let go, or has died: nothing can be taken back any more. */
#define DECIDED \
  if \
  :: isUndecided -> isUndecided = false; STEP(probation, settled, serving) \
  :: else \
  fi; \
  onTrial = false

/* PAUSE names the time after which workers that hear nothing accept again. */
#ifdef MUTANT_NO_LEASE
#define LEASE skip
#else
#define LEASE lease[me] = true
#endif

#ifdef MUTANT_NO_TAKE_BACK
#define TAKE_BACK lease[me] = false
#else
#define TAKE_BACK lease[me] = false; accepts[me] = true
#endif

/* A channel's end is closed. Nothing that was sent before it is lost, although the kernel reports ECONNRESET (channel.cc). */
#ifdef MUTANT_RESET
#define LOSE(queue, unread) if :: nempty(unread) -> do :: queue?lost :: empty(queue) -> break od :: else fi
#else
#define LOSE(queue, unread) skip
#endif
#define CLEAR(queue) do :: queue?lost :: empty(queue) -> break od
inline closeIncumbentEnd(s) {
  if
  :: s != NOBODY && incumbentEnd[s] ->
    LOSE(down[s], up[s]);
    CLEAR(up[s]);
    incumbentEnd[s] = false
  :: else
  fi
}
inline closeSuccessorEnd(s) {
  if
  :: successorEnd[s] ->
    LOSE(up[s], down[s]);
    CLEAR(down[s]);
    successorEnd[s] = false
  :: else
  fi
}
/* To one that has gone, nothing is said. Never first in an option: its else would wait for all other options. */
#define sayDown(s, message) \
  if \
  :: incumbentEnd[s] && successorEnd[s] -> \
    assert(nfull(down[s])); \
    down[s]!message; \
    printf("%d tells %d ", me, s); printf(#message); printf("\n") \
  :: else \
  fi
#define sayUp(message) \
  if \
  :: incumbentEnd[me] && successorEnd[me] -> \
    assert(nfull(up[me])); \
    up[me]!message; \
    printf("%d tells %d ", me, incumbentOf[me]); printf(#message); printf("\n") \
  :: else \
  fi

#define DOWN_ENDED(s) (empty(down[s]) && !incumbentEnd[s])
#define UP_ENDED(s) (empty(up[s]) && !successorEnd[s])

/* Says why and closes. */
inline abortDown(s) {
  sayDown(s, ABORT);
  closeIncumbentEnd(s)
}

/* Tells the successors that watch this instance that no hand-over will come. */
inline dismiss() {
  for (other : 0 .. INSTANCES - 1) {
    if
    :: watched[other] == me && phase[other] == waiting -> gone[other] = true
    :: else
    fi
  }
  other = 0
}

/* A successor does so once it is its turn: it has heard COMMIT, or is alone. */
inline publish() {
  assert(phase[me] == starting || phase[me] == taking || phase[me] == alone || phase[me] == resuming || phase[me] == probation);
  pidfile = me;
  printf("%d publishes\n", me)
}
/* Removes the file if it names us. */
inline unpublish() {
  if
  :: pidfile == me -> pidfile = NOBODY
  :: else
  fi
}

/* What the kernel does when a process ends, in whichever way. */
inline bury(i) {
  accepts[i] = false;
  lease[i] = false;
  holds[i] = false;
  locks[i] = false;
  if
  :: waiter == i -> waiter = NOBODY
  :: else
  fi;
  closeSuccessorEnd(i);
  for (s : 0 .. INSTANCES - 1) {
    if
    :: incumbentOf[s] == i -> closeIncumbentEnd(s)
    :: else
    fi
  }
  s = 0
}

proctype instance(byte me; bool isFirst) {
  byte successor = NOBODY;      /* the successor that it speaks with */
  bool isUndecided;        /* its incumbent can take the hand-over back */
  bool onTrial;              /* it is on probation */
  bool asked;              /* ROLLBACK has been said */
  bool hasProved;             /* PROVING has been said */
  bool isSick;             /* its health will be found bad */
  bool follows;            /* it listens to its predecessor still */
  bool isAnew;             /* it has bound the listeners anew */
  byte other;
  byte s;

  {
    if
    :: isFirst -> goto asFirst
    :: else -> goto asSuccessor
    fi;

    /* ---- start.ts */
asFirst:
    atomic {
      /* The lock, then the listener: Pidfile.acquire, declareListeners. */
      if
      :: NUMBER(LOCKED) > 0 ->
        STEP(starting, failed, ended);
        goto buried
      :: else ->
        locks[me] = true
      fi
    }
    atomic {
      /* In its way: what a successor has got of an offer whose LOCK never came, for a moment. */
      if
      :: NUMBER(HOLDER) > 0 -> STEP(starting, failed, ended); goto buried
      :: else -> holds[me] = true; path = true
      fi
    }
    if
    :: atomic { told[me] -> STEP(starting, failed, ended); goto buried }
    :: atomic { FAULT; STEP(starting, failed, ended); goto buried }
    :: atomic {
        accepts[me] = true;
        publish();
        STEP(starting, ready, serving);
        founded = true;
        SERVES;
        goto serve
      }
    fi;

asSuccessor:
    atomic {
      /* findIncumbent, and the lock of the upgrade socket. */
      if
      :: pidfile == NOBODY || (pidfile != NOBODY && !alive[pidfile % INSTANCES]) || waiter != NOBODY ->
        STEP(waiting, failed, ended);
        goto buried
      :: else ->
        watched[me] = pidfile;
        waiter = me;
        gone[me] = (phase[pidfile] == draining || phase[pidfile] == stopping || phase[pidfile] == ended)
      fi
    }
end_waiting:
    if
    :: atomic { incumbentOf[me] != NOBODY && successorEnd[me] -> sayUp(HELLO) }
    :: atomic { gone[me] || told[me] -> STEP(waiting, failed, ended); goto buried }
    :: atomic { FAULT; STEP(waiting, failed, ended); goto buried }
    :: atomic { !alive[watched[me]] && incumbentOf[me] == NOBODY -> goto replaceDead }
    fi;
    /* receiveOffer. What has come of an incumbent is read before its death is noticed on the other connection. */
    do
    :: atomic { down[me]?OFFER -> skip }
    :: atomic { down[me]?FDS -> skip }
    :: atomic { down[me]?LOCK -> STEP(waiting, contacted, adopting); goto adopt }
    :: atomic { down[me]?ABORT -> STEP(waiting, failed, ended); goto buried }
    :: atomic { DOWN_ENDED(me) -> goto inVain }
    :: atomic { incumbentEnd[me] -> sayUp(ABORT); goto inVain }
    :: atomic { told[me] || gone[me] -> sayUp(ABORT); STEP(waiting, failed, ended); goto buried }
    :: atomic { FAULT; sayUp(ABORT); STEP(waiting, failed, ended); goto buried }
    od;
inVain:
    /* It waits on, for another incumbent or to be told. */
    atomic {
      closeSuccessorEnd(me);
      holds[me] = false;
      locks[me] = false
    }
end_inVain:
    if
    :: atomic { gone[me] || told[me] -> STEP(waiting, failed, ended); goto buried }
    :: atomic { !alive[watched[me]] -> goto replaceDead }
    fi;

replaceDead:
    atomic {
      /* acquireAfterDeath: it waits a while for the lock, then gives up. */
      if
      :: NUMBER(LOCKED) > 0 -> STEP(waiting, failed, ended); goto buried
      :: else ->
        STEP(waiting, incumbentGone, alone);
        locks[me] = true;
        assert(NUMBER(HOLDER) == 0);
        holds[me] = true;
        path = true;
        isAnew = true
      fi
    }
    goto liveAlone;

adopt:
    if
    :: atomic { FAULT; sayUp(ABORT); STEP(adopting, failed, ended); goto buried }
    :: atomic { told[me] -> sayUp(ABORT); STEP(adopting, failed, ended); goto buried }
    :: atomic { true -> sayUp(ADOPTED); STEP(adopting, adopted, booting) }
    fi;
#ifdef MUTANT_EARLY_PIDFILE
    atomic { publish() }
#endif
    do
    :: atomic { true -> sayUp(READY); STEP(booting, ready, ready); break }
    :: atomic { down[me]?ABORT -> STEP(booting, failed, ended); goto buried }
    :: atomic { told[me] -> sayUp(ABORT); STEP(booting, failed, ended); goto buried }
    :: atomic { FAULT; sayUp(ABORT); STEP(booting, failed, ended); goto buried }
    od;
    /* for COMMIT */
    do
    :: atomic { down[me]?STATE -> skip }
    :: atomic { down[me]?COMMIT -> accepts[me] = true; STEP(ready, commit, taking); break }
    :: atomic { down[me]?ABORT -> STEP(ready, failed, ended); goto buried }
    :: atomic { DOWN_ENDED(me) -> accepts[me] = true; STEP(ready, incumbentGone, alone); goto liveAlone }
#ifdef MUTANT_DEADLINE_FIRST
    :: atomic { true -> sayUp(ABORT); STEP(ready, failed, ended); goto buried }
#else
    :: atomic { incumbentEnd[me] -> sayUp(ABORT); STEP(ready, failed, ended); goto buried }
#endif
    :: atomic { told[me] -> sayUp(ABORT); STEP(ready, failed, ended); goto buried }
    :: atomic { FAULT; sayUp(ABORT); STEP(ready, failed, ended); goto buried }
    od;
    /* goLive, while the incumbent may give up; no process listens to it just now. */
    if
    :: atomic { FAULT; sayUp(ABORT); STEP(taking, failed, ended); goto buried }
    :: atomic { publish() }
    fi;
    atomic {
      sayUp(LIVE);
      STEP(taking, live, probation);
      SERVES;
      waiter = NOBODY;
      follows = true;
      isUndecided = true;
      onTrial = !isWithoutTrial[me];
      if
      :: onTrial -> isSick = true
      :: true -> isSick = false
      fi;
      goto serve
    }
liveAlone:
    if
    :: atomic { FAULT; STEP(alone, failed, ended); goto buried }
    :: atomic { isAnew && told[me] -> STEP(alone, failed, ended); goto buried }
    :: atomic {
        accepts[me] = true;
        publish();
        STEP(alone, live, serving);
        SERVES;
        waiter = NOBODY;
        goto serve
      }
    fi;
    /* ---- the main process */
serve:
end_serving:
    do
    :: atomic { told[me] -> goto stop }
    :: atomic { quit[me] && !isUndecided -> quit[me] = false; STEP(serving, upgrade, finding); goto find }
    /* A request for the next generation does not want the one before: endProbation. No answer: ERR_MOTYA_WEDGED. */
    :: atomic { quit[me] && onTrial && !asked && !settledSaid[me] -> settledSaid[me] = true; sayUp(SETTLED) }
    :: atomic { quit[me] && isUndecided && (!onTrial || asked || settledSaid[me]) -> quit[me] = false }
    /* handover/successor-probation.ts */
    :: atomic { onTrial && !hasProved -> hasProved = true; sayUp(PROVING) }
    :: atomic { onTrial && !hasProved -> hasProved = true; sayUp(LEFT_OUT) }
    :: atomic { onTrial && !asked && !settledSaid[me] -> settledSaid[me] = true; sayUp(SETTLED) }
    :: atomic { onTrial && !asked && isSick -> asked = true; sayUp(ROLLBACK) }
    /* predecessors.ts, and prove */
    :: atomic { follows && down[me]?[STATS] -> down[me]?STATS }
    :: atomic { follows && down[me]?[PREDECESSOR] -> down[me]?PREDECESSOR }
    :: atomic { follows && down[me]?[DRAINING] -> down[me]?DRAINING; DECIDED }
    :: atomic { follows && down[me]?[BYE] -> down[me]?BYE; follows = false; closeSuccessorEnd(me) }
    :: atomic { follows && down[me]?[REVOKED] -> down[me]?REVOKED; STEP(probation, revoked, draining); goto goBack }
    :: atomic { follows && down[me]?[ABORT] -> down[me]?ABORT; STEP(probation, revoked, draining); goto goBack }
    :: atomic {
        follows && DOWN_ENDED(me) ->
#ifndef MUTANT_NO_REPAIR
        /* It may have died when it had the pidfile back, and not told us yet. */
        if
        :: isUndecided -> publish()
        :: else
        fi;
#endif
        DECIDED;
        follows = false;
        closeSuccessorEnd(me)
      }
#ifdef MUTANT_SILENCE
    /* No STATS for STATS_SILENCE_MS. */
    :: atomic { follows && onTrial && incumbentEnd[me] -> DECIDED; follows = false; closeSuccessorEnd(me) }
#endif
    /* One that was rolled back tells of its drain. */
    :: atomic { successor != NOBODY && up[successor]?[STATS] -> up[successor]?STATS }
    :: atomic { successor != NOBODY && up[successor]?[BYE] -> up[successor]?BYE; closeIncumbentEnd(successor); successor = NOBODY }
    :: atomic { successor != NOBODY && UP_ENDED(successor) -> closeIncumbentEnd(successor); successor = NOBODY }
    od;

    /* ---- upgrade.ts, incumbent.ts */
find:
    atomic {
      closeIncumbentEnd(successor);
      successor = NOBODY
    }
    if
    :: atomic {
        waiter != NOBODY && waiter != me && incumbentOf[waiter % INSTANCES] == NOBODY ->
        successor = waiter;
        incumbentOf[successor] = me;
        incumbentEnd[successor] = true;
        successorEnd[successor] = true;
        STEP(finding, connected, offering)
      }
    :: atomic { STEP(finding, failed, serving); dismiss(); goto serve }
    :: atomic { told[me] -> STEP(finding, stop, stopping); goto stopServing }
    fi;
    if
    :: atomic { up[successor]?HELLO -> sayDown(successor, OFFER) }
    :: atomic { UP_ENDED(successor) -> closeIncumbentEnd(successor); STEP(offering, failed, serving); goto serveOn }
    :: atomic { successorEnd[successor] -> abortDown(successor); STEP(offering, failed, serving); goto serveOn }
    :: atomic { told[me] -> abortDown(successor); STEP(offering, stop, stopping); goto stopServing }
    fi;
    /* Death may come between the messages of an offer. */
    atomic {
      sayDown(successor, FDS);
      if
      :: successorEnd[successor] -> holds[successor] = true
      :: else
      fi
    }
    atomic {
      sayDown(successor, LOCK);
#ifndef MUTANT_NO_LOCK
      if
      :: successorEnd[successor] -> locks[successor] = true
      :: else
      fi
#endif
    }
    if
    :: atomic { up[successor]?ADOPTED -> STEP(offering, adopted, awaiting) }
    :: atomic { up[successor]?ABORT -> closeIncumbentEnd(successor); STEP(offering, failed, serving); goto serveOn }
    :: atomic { UP_ENDED(successor) -> closeIncumbentEnd(successor); STEP(offering, failed, serving); goto serveOn }
    :: atomic { successorEnd[successor] -> abortDown(successor); STEP(offering, failed, serving); goto serveOn }
    :: atomic { told[me] -> abortDown(successor); STEP(offering, stop, stopping); goto stopServing }
    fi;
    if
    :: atomic { up[successor]?READY -> STEP(awaiting, ready, pausing); accepts[me] = false; LEASE }
    /* --dry-run, at the same place as any other failure */
    :: atomic { up[successor]?READY -> abortDown(successor); STEP(awaiting, rehearsed, serving); goto serveOn }
    :: atomic { up[successor]?ABORT -> closeIncumbentEnd(successor); STEP(awaiting, failed, serving); goto serveOn }
    :: atomic { UP_ENDED(successor) -> closeIncumbentEnd(successor); STEP(awaiting, failed, serving); goto serveOn }
    :: atomic { successorEnd[successor] -> abortDown(successor); STEP(awaiting, failed, serving); goto serveOn }
    :: atomic { told[me] -> abortDown(successor); STEP(awaiting, stop, stopping); goto stopServing }
    fi;
    /* What programs hand on, or one that fails to. */
    if
    :: atomic { true -> sayDown(successor, STATE) }
    :: atomic { FAULT; abortDown(successor); TAKE_BACK; STEP(pausing, failed, resuming); goto resume }
    fi;
    if
    :: atomic { told[me] -> abortDown(successor); STEP(pausing, stop, stopping); goto stopServing }
    :: atomic { up[successor]?ABORT -> closeIncumbentEnd(successor); TAKE_BACK; STEP(pausing, failed, resuming); goto resume }
    :: atomic { UP_ENDED(successor) -> closeIncumbentEnd(successor); TAKE_BACK; STEP(pausing, failed, resuming); goto resume }
    :: atomic { true -> sayDown(successor, COMMIT); STEP(pausing, paused, committed) }
    fi;
    if
    :: atomic { up[successor]?LIVE -> STEP(committed, live, standby); SERVES }
    :: atomic { up[successor]?ABORT -> closeIncumbentEnd(successor); TAKE_BACK; STEP(committed, failed, resuming); goto resume }
    :: atomic { UP_ENDED(successor) -> closeIncumbentEnd(successor); TAKE_BACK; STEP(committed, failed, resuming); goto resume }
    :: atomic { successorEnd[successor] -> abortDown(successor); TAKE_BACK; STEP(committed, failed, resuming); goto resume }
    fi;
    goto afterHandover;

resume:
    atomic {
#ifndef MUTANT_NO_RECLAIM
      publish();
#endif
      STEP(resuming, resumed, serving);
      SERVES
    }
serveOn:
    atomic {
      dismiss();
#ifndef MUTANT_NO_RECLAIM
      reclaimer[successor] = me;
#endif
      successor = NOBODY;
      goto serve
    }

    /* ---- supervisor/standby.ts */
afterHandover:
    atomic {
      accepts[me] = false;
      lease[me] = false;
      dismiss();
#ifdef MUTANT_LETS_GO_AT_LIVE
      holds[me] = false;
#endif
      if
      :: isWithoutTrial[successor] || told[me] -> sayDown(successor, DRAINING); STEP(standby, settled, draining); goto letGo
      :: else -> sayDown(successor, STATS)
      fi
    }
    do
    :: atomic { up[successor]?PROVING -> skip }
    :: atomic { up[successor]?LEFT_OUT -> skip }
    /* supervisor/left-out.ts: what it has left out still gets connections. */
    :: atomic { up[successor]?SETTLED -> TAKE_BACK; STEP(standby, failed, resuming); goto serveAgain }
    :: atomic { up[successor]?SETTLED -> sayDown(successor, DRAINING); STEP(standby, settled, draining); goto letGo }
    :: atomic { up[successor]?ROLLBACK -> TAKE_BACK; STEP(standby, failed, resuming); goto serveAgain }
    :: atomic { UP_ENDED(successor) -> TAKE_BACK; STEP(standby, failed, resuming); goto serveAgain }
    /* What has come is read first. */
    :: atomic { successorEnd[successor] && empty(up[successor]) -> TAKE_BACK; STEP(standby, failed, resuming); goto serveAgain }
    :: atomic { told[me] -> sayDown(successor, DRAINING); STEP(standby, settled, draining); goto letGo }
    od;
serveAgain:
    atomic {
#ifndef MUTANT_NO_RECLAIM
      publish()
#else
      skip
#endif
    }
    atomic {
      sayDown(successor, REVOKED);
      STEP(resuming, resumed, serving);
      SERVES;
      goto serve
    }
letGo:
    atomic {
      /* giveAway */
      dismiss();
      holds[me] = false;
      unpublish();
      locks[me] = false;
      if
      :: follows -> sayDown(successor, PREDECESSOR); follows = false; closeSuccessorEnd(me)
      :: else
      fi;
      sayDown(successor, STATS)
    }
    atomic {
      STEP(draining, drained, ended);
      sayDown(successor, BYE);
      goto buried
    }
goBack:
    atomic {
      dismiss();
      /* handBack */
      accepts[me] = false;
      holds[me] = false;
      locks[me] = false;
      sayUp(STATS)
    }
    atomic {
      STEP(draining, drained, ended);
      sayUp(BYE);
      goto buried
    }

    /* ---- stop.ts */
stop:
#ifndef MUTANT_HASTY_STOP
    /* A stop of it does not want the one before it, which may be about to serve again all the same. */
    if
    :: atomic { onTrial && !asked && !settledSaid[me] -> settledSaid[me] = true; sayUp(SETTLED) }
    :: else
    fi;
    do
    :: atomic { !isUndecided -> break }
    :: atomic { isUndecided && down[me]?[DRAINING] -> down[me]?DRAINING; DECIDED }
    :: atomic { isUndecided && down[me]?[REVOKED] -> down[me]?REVOKED; STEP(probation, revoked, draining); goto goBack }
    :: atomic { isUndecided && down[me]?[ABORT] -> down[me]?ABORT; STEP(probation, revoked, draining); goto goBack }
    :: atomic { isUndecided && down[me]?[STATS] -> down[me]?STATS }
    :: atomic { isUndecided && DOWN_ENDED(me) -> DECIDED }
    /* no answer */
    :: atomic { isUndecided -> break }
    od;
#else
    atomic { 
      if
      :: onTrial && !asked && !settledSaid[me] -> settledSaid[me] = true; sayUp(SETTLED)
      :: else
      fi;
      DECIDED
    }
#endif
    if
    :: atomic { isUndecided -> STEP(probation, stop, stopping) }
    :: atomic { !isUndecided -> STEP(serving, stop, stopping) }
    fi;
stopServing:
    atomic {
      dismiss();
      accepts[me] = false;
      lease[me] = false
    }
    atomic {
      holds[me] = false;
      /* What the incumbent may serve on again stays. */
      if
      :: !isUndecided -> path = false
      :: else
      fi
    }
    atomic {
      STEP(stopping, drained, ended);
      unpublish();
      locks[me] = false
    }
buried:
    atomic {
      bury(me);
      alive[me] = false
    }
  } unless {
    !alive[me] || frozen[me]
  };
end_dead:
  !alive[me]
}

/* What happens by itself: workers whose lease is over; reclaimAfter (supervisor/rejected.ts). */
#define BACKGROUND(i) \
  :: atomic { lease[i] && alive[i] -> lease[i] = false; accepts[i] = true } \
  :: atomic { \
      reclaimer[i] != NOBODY && !alive[i] && !frozen[reclaimer[i] % INSTANCES] -> \
      if \
      :: alive[reclaimer[i]] && IS_MAIN(reclaimer[i]) -> pidfile = reclaimer[i] \
      :: else \
      fi; \
      reclaimer[i] = NOBODY \
    }
active proctype background() {
end_background:
  do
  BACKGROUND(0)
  BACKGROUND(1)
#if INSTANCES > 2
  BACKGROUND(2)
#endif
  od
}

/* kill -9, SIGTERM, SIGSTOP for good, SIGQUIT: to any process, at any moment, or never. */
#define HAPPENS(i) \
  :: atomic { faults > 0 && alive[i] -> faults--; alive[i] = false; printf("%d is killed\n", i); bury(i); SUFFER } \
  :: atomic { stops > 0 && alive[i] && !told[i] -> stops--; told[i] = true; printf("%d is stopped\n", i); SUFFER } \
  :: atomic { freezes > 0 && RUNS(i) && phase[i] != ended -> freezes--; frozen[i] = true; printf("%d is frozen\n", i); SUFFER } \
  :: atomic { upgrades > 0 && alive[i] && !quit[i] && (phase[i] == probation || phase[i] == serving || phase[i] == taking || phase[i] == alone) -> \
      upgrades--; quit[i] = true; printf("%d is to hand over\n", i) }
active proctype world() {
  byte next = 1;
  byte s;
  atomic {
    alive[0] = true;
    phase[0] = starting;
    run instance(0, true)
  }
  do
  :: atomic {
      founded && next < INSTANCES ->
      alive[next] = true;
      if
      :: phase[next] = waiting; isWithoutTrial[next] = true; run instance(next, false)
      :: phase[next] = waiting; run instance(next, false)
#if RIVALS
      :: phase[next] = starting; run instance(next, true)
#endif
      fi;
      next++
    }
  HAPPENS(0)
  HAPPENS(1)
#if INSTANCES > 2
  HAPPENS(2)
#endif
  :: break
  od
}

active proctype held() {
end_held:
  atomic { !(HELD) -> assert(HELD) }
}

#define OWNER(i) (RUNS(i) && IS_MAIN(i))
/* A supervisor that is frozen before it has handed over serves by its workers; later it is no owner, and its listeners idle. */
#define MUST_BE_SERVED(i) (alive[i] && holds[i] && (!frozen[i] || IS_MAIN(i) || phase[i] == committed || phase[i] == resuming))
#define OWNS_ALL(i) (!OWNER(i) || (accepts[i] && holds[i] && locks[i] && path && \
  (pidfile == i || (pidfile != NOBODY && frozen[pidfile % INSTANCES]))))
#if INSTANCES == 2
#define ALL(what) (what(0) && what(1))
#else
#define ALL(what) (what(0) && what(1) && what(2))
#endif
active proctype quiet() {
end_quiet:
  atomic {
    timeout ->
    assert(!SOME(MUST_BE_SERVED) || SOME(ACCEPTOR));
    assert(!founded || outage || SOME(ACCEPTOR));
    assert(NUMBER(OWNER) <= 1);
    assert(ALL(OWNS_ALL))
  }
}
