/*
 * queue.pml: the wait queue. Liveness: whoever waits is served. Safety: nobody in the
 * queue overtakes.
 *
 * The headings in quotes are those of docs/explanation/design.md. docs/internals/model.md says how to
 * run this file and what is left out, test/model/check what each switch does.
 *
 * A lock is an array of owners here, granted in one step: lease.pml is about what else
 * there is to it. There is no time, any step may take for ever long, but none is left out
 * for ever.
 *
 * Without SLOW_TRIES the clients try when a hint comes, and never by themselves. So it is
 * the hints alone that have to serve everybody, and a hint that went wrong is seen as a
 * stall (an invalid end state). With SLOW_TRIES hints may get lost, and everybody has to
 * be served all the same.
 */

#ifndef CLIENTS
#define CLIENTS 3
#endif
#define LAST (CLIENTS - 1)      /* the client that is killed, or loses something */
#ifndef SLOTS
#define SLOTS 2                 /* 1: a mutex, with MUTEX */
#endif
#ifndef ROUNDS
#define ROUNDS 1                /* how often each client wants the lock */
#endif
#ifndef KILLS
#define KILLS 0                 /* how many clients are killed, at any moment */
#endif
#ifndef LOSSES
#define LOSSES 0                /* how many hints, or places in the queue, are lost */
#endif
#ifndef WANT0
#define WANT0 1                 /* --count of client 0 */
#endif
#ifndef WANT1
#define WANT1 1                 /* and of client 1 */
#endif
#define want(c) ((c) == 0 -> WANT0 : ((c) == 1 -> WANT1 : 1))

#define NOBODY 0
/* a dead holder whose queue the broker has not deleted yet */
#define GHOST  (CLIENTS + 1)
#define ABSENT (CLIENTS + 2)    /* the slot does not exist yet */

/* A message of NAME-W: none; a hint; a hint from the last will of a holder; "you are
 * first". */
mtype = { NONE, HINT, CRASH, FIRST };

byte owner[SLOTS];

/* NAME-W, "The wait queue": a queue for one message, with a single active consumer. */
bool queue;                     /* it exists */
mtype ready = NONE;             /* the message in it */
byte consumer[CLIENTS];         /* client + 1; the first one is the active consumer */
byte consumers;
/* the message that a consumer has and has not acknowledged */
mtype hand[CLIENTS] = NONE;
/* a client has a place in the queue, as far as it knows */
bool placed[CLIENTS];
/* this client was killed, and the broker has not noticed */
bool dead[CLIENTS];
bool doomed[CLIENTS];           /* this client is killed before its next step */
bool gone[CLIENTS];             /* this client has ended */
bool waits[CLIENTS];            /* this client wants the lock and does not have it */

/* NAME-H, "The wait queue", the last will: of holders that are dead */
byte wills;
byte kills = KILLS;
byte losses = LOSSES;

#define say(c, what) printf("client %d ", c); printf(what); printf("\n")
#define note(what)   printf(what); printf("\n")

/* ---- the broker ------------------------------------------------------------------- */

/* A message for NAME-W. x-max-length is 1: a newer one takes the place of an older
 * one. */
inline publish(m) {
	if
	:: queue -> ready = m
	:: else
	fi
}

/* A hint that a client sends; the broker may be in an alarm, or the connection gone. */
inline hint() {
	if
	:: publish(HINT)
	:: losses > 0 -> losses--; note("a hint is lost")
	fi
}

/* The end of a consumer. What it has not acknowledged goes back into the queue. */
inline remove_consumer(c) {
	i = 0;
	do
	:: i < consumers && consumer[i] != c + 1 -> i++
	:: else -> break
	od;
	if
	:: i < consumers ->
		do
		:: i < consumers - 1 -> consumer[i] = consumer[i + 1]; i++
		:: else -> break
		od;
		consumers--;
		consumer[consumers] = 0;
		if
		:: hand[c] != NONE && ready == NONE -> ready = hand[c]
		:: else
		fi
	:: else
	fi;
	hand[c] = NONE;
	i = 0
}

#define active (consumer[0] - 1)

proctype Broker() {
	byte i, s;
end:	do
	:: d_step { ready != NONE && consumers > 0 && hand[active] == NONE ->
		hand[active] = ready; ready = NONE; say(active, "is sent the message") }
	/* It notices a dead client: last wills, consumers and held queues go in any order. */
	:: d_step { wills > 0 -> wills--; publish(CRASH); note("a last will reaches the queue") }
	:: d_step { owner[0] == GHOST -> owner[0] = NOBODY; note("slot 1 of a dead holder is free") }
#if SLOTS > 1
	:: d_step { owner[1] == GHOST -> owner[1] = NOBODY; note("slot 2 of a dead holder is free") }
#endif
	:: d_step { dead[0] -> remove_consumer(0); dead[0] = false; say(0, "place is removed") }
	:: d_step { dead[1] -> remove_consumer(1); dead[1] = false; say(1, "place is removed") }
	:: d_step { dead[LAST] -> remove_consumer(LAST); dead[LAST] = false; say(LAST, "place is removed") }
	od
}

/* Faults, as many as the switches allow. */
inline doom(c) { kills--; doomed[c] = true; say(c, "IS KILLED") }
inline evict(c) { losses--; placed[c] = false; remove_consumer(c); say(c, "loses its place") }

proctype Faults() {
	byte i;
end:	do
	:: d_step { kills > 0 && !gone[0] && !doomed[0] -> doom(0) }
	:: d_step { kills > 0 && !gone[1] && !doomed[1] -> doom(1) }
	:: d_step { kills > 0 && !gone[LAST] && !doomed[LAST] -> doom(LAST) }
	:: d_step { losses > 0 && placed[0] -> evict(0) }
	:: d_step { losses > 0 && placed[1] -> evict(1) }
	:: d_step { losses > 0 && placed[LAST] -> evict(LAST) }
	od
}

#ifdef GROWS
/* "Administration": slot 2 is added some time. Whoever adds anything sends a hint. */
proctype Administrator() {
	atomic { owner[1] = NOBODY; note("slot 2 is added") };
	atomic { hint(); note("the administrator sends a hint") }
}
#endif

/* ---- the client ------------------------------------------------------------------- */

inline count_free() {
	s = 0; free = 0;
	do
	:: s < SLOTS && owner[s] == NOBODY -> free++; s++
	:: s < SLOTS && owner[s] != NOBODY -> s++
	:: else -> break
	od;
	s = 0
}

/* All slots of client c become another's: nobody's, or those of a dead holder. */
inline hand_over(c, to) {
	s = 0;
	do
	:: s < SLOTS && owner[s] == c + 1 -> owner[s] = to; s++
	:: s < SLOTS && owner[s] != c + 1 -> s++
	:: else -> break
	od;
	s = 0; got = 0
}

/* One after the other, and others do something in between. */
inline claim_slots(c) {
	do
	:: atomic { s < SLOTS && got < want(c) ->
		if
		:: owner[s] == NOBODY ->
			/* THE PROPERTY: of those who stand in the queue only the first takes
			 * anything, as nobody looks from behind here. */
			assert(!placed[c] || consumer[0] == c + 1);
			owner[s] = c + 1; got++; say(c, "is granted a slot")
		:: else
		fi;
		s++
	   }
	:: atomic { else -> s = 0; break }
	od
}

/* "Several slots": of all who wait only the first in the queue keeps a part. Everybody
 * else looks first, claims only if enough are free, and gives all back, with a hint,
 * if it does not get them. */
inline try(c) {
#ifdef KEEP_PART
	claim_slots(c)
#else
	atomic { count_free() };
	if
	:: first || free + got >= want(c) -> claim_slots(c)
	:: else
	fi;
	if
	:: got > 0 && got < want(c) && !first ->
		d_step { hand_over(c, NOBODY); say(c, "gives its part back") };
		hint();
		say(c, "has sent a hint")
	:: else
	fi
#endif
}

#define has_all (got == want(c))
#define its_own_or_free(s, c) (owner[s] == NOBODY || owner[s] == (c) + 1)
#if SLOTS == 1
#define usable(c) its_own_or_free(0, c)
#define any_free (owner[0] == NOBODY)
#define no_ghost (owner[0] != GHOST)
#else
#define usable(c) (its_own_or_free(0, c) + its_own_or_free(1, c))
#define any_free (owner[0] == NOBODY || owner[1] == NOBODY)
#define no_ghost (owner[0] != GHOST && owner[1] != GHOST)
#endif

/* When a client may be killed. With hints alone: while it stands in the queue, or
 * holds the lock and others stand there. What else a kill can do is left to the slow
 * tries; docs/internals/model.md lists it. */
#ifdef SLOW_TRIES
#define may_die true
#else
#define may_die (!telling && ((placed[c] && got == 0) || (has_all && consumers > 0)))
#endif

/* A slot's hint that was passed on is in vain as a rule, and not repeated. The model
 * takes each plain hint of a slot for such a one. */
#if defined(MUTEX) && !defined(REPEAT_CRASH_ONLY)
#define repeats(hint) true
#else
#define repeats(hint) ((hint) == CRASH)
#endif

proctype Client(byte c) {
	byte s, i, free;
	byte round;
	byte got;                   /* slots held */
	byte ahead;                 /* at most so many stand before it */
	bool others;                /* somebody stood in the queue when it declared that */
	bool telling;               /* has given something back, and not sent the hint yet */
	mtype kind = NONE;          /* of the hint that it tries with */
	bool again;                 /* a dead holder's queue was still there when it tried */
	/* it has been sent a message, so it is the active consumer */
	bool first;

	{
	skip;
wants:
	waits[c] = true;
	/* "The wait queue": a newcomer tries once before it looks at the queue. */
	try(c);
	if
	:: has_all -> goto holds
	:: else
	fi;

declares:
	/* It declares the queue before the try whose failure sends it there. Where others
	 * stand in it already it joins without that try: what comes free is theirs. */
	atomic { queue = true; others = consumers > 0; say(c, "declares the queue") };
	if
	:: !others -> try(c)
	:: else
	fi;
	if
	:: has_all -> goto holds
	:: else
	fi;

	atomic {
		if
		:: queue ->
			ahead = consumers; consumer[consumers] = c + 1; consumers++;
			placed[c] = true; say(c, "joins the queue")
		:: else -> goto declares /* a releaser took it for unused and deleted it */
		fi
	};
	/* Should those others be gone by then it tries at once. */
	if
	:: others && ahead == 0 -> goto tries
	:: else
	fi;

stands:
	if
	:: d_step { hand[c] == FIRST ->
		first = true; hand[c] = NONE; say(c, "knows that it is first") };
		goto stands
	:: d_step { again && hand[c] == NONE && placed[c] && (no_ghost || any_free) ->
		again = false; say(c, "repeats its try") };
		goto tries
	:: d_step { hand[c] == HINT || hand[c] == CRASH ->
		first = true; kind = hand[c]; say(c, "has a hint") };
		goto tries_with_hint
#ifdef SLOW_TRIES
	/* It also tries by itself, if it is the first. The others send a hint to the
	 * first, which they may have become without notice. (A try in vain changes
	 * nothing, so it is left out.) */
	:: hand[c] == NONE && placed[c] && (first || ahead == 0) && any_free -> goto tries
	:: d_step { hand[c] == NONE && placed[c] && !first && ahead > 0 && ready != HINT ->
		publish(HINT); say(c, "sends a hint to the first");
		ahead = (consumers - 1 < ahead -> consumers - 1 : ahead) };
		goto stands
	/* Its place is gone: it gives back what it has collected, tries once more and
	 * joins anew. */
	:: d_step { hand[c] == NONE && !placed[c] -> first = false; hand_over(c, NOBODY) };
		hint();
		try(c);
		if
		:: has_all -> goto holds
		:: else -> goto declares
		fi
#endif
	fi;

tries_with_hint:
#ifdef ACK_FIRST
	hand[c] = NONE;
#endif
	/* "The last will": the message comes before the broker has deleted the dead
	 * holder's queue, so a failed try is repeated, without the hint. The model takes
	 * the repetitions to last until that is done. */
	again = again || (repeats(kind) && !no_ghost);
	try(c);
	if
	:: has_all -> goto passes
	:: else
	fi;
	/* It acknowledges after a failed try only. */
	d_step { hand[c] = NONE; kind = NONE; say(c, "acknowledges, waits on") };
	goto stands;

passes:
	/* On success at a semaphore the hint stays in the queue for the next waiter; at a
	 * mutex it is acknowledged. The message that the next one is the first is of the
	 * model alone. */
	waits[c] = false; kind = NONE;
#if defined(MUTEX) || defined(RELEASERS_ONLY)
	hand[c] = NONE;
#endif
	d_step { placed[c] = false; remove_consumer(c); say(c, "leaves the queue") };
#ifdef MUTEX
	d_step { publish(FIRST); say(c, "tells the next that it is first") };
#endif
	goto holds;

tries:
	try(c);
	if
	:: has_all
	:: else -> goto stands
	fi;
	/* A success without a hint sends one: more may have come free. */
	waits[c] = false;
	d_step { placed[c] = false; remove_consumer(c); telling = true; say(c, "leaves the queue") };
#ifndef RELEASERS_ONLY
	hint();
	say(c, "has sent a hint");
#endif
	telling = false;

holds:
	waits[c] = false;
	say(c, "RUNS ITS COMMAND");
#ifndef SLOW_TRIES
	/* It ends soon, or not before nothing else can happen any more. THE PROPERTY: then
	 * the first in the queue does not wait for what it could have. */
	if
	:: true
	:: true -> timeout; assert(consumers == 0 || usable(active) < want(active))
	fi;
#endif
	/* "Release": first the held queues are deleted. */
	d_step { hand_over(c, NOBODY); first = false; telling = true; say(c, "releases") };
	/* Then the queue gets a hint; or it is deleted if unused. */
	if
	:: hint(); say(c, "has sent a hint")
#ifdef MUTEX
	:: d_step { consumers == 0 -> queue = false; ready = NONE; say(c, "deletes the unused queue") }
#endif
	fi;
	telling = false;
	round++;
	if
	:: round < ROUNDS -> goto wants
	:: else -> goto ends
	fi
	} unless {
		/* kill -9, with the guard: what it holds and its place go when the broker
		 * notices. */
		atomic { doomed[c] && may_die ->
			/* "The wait queue", the last will: it is set up 0.2 s after the grant. */
			if
			:: has_all -> wills++
#ifdef SLOW_TRIES
			:: has_all
#endif
			:: else
			fi;
			hand_over(c, GHOST);
			dead[c] = true; placed[c] = false
		}
	};
ends:
	atomic { waits[c] = false; gone[c] = true; doomed[c] = false }
}

init {
	atomic {
#ifdef GROWS
		owner[SLOTS - 1] = ABSENT;
		run Administrator();
#endif
		run Broker();
#if KILLS + LOSSES > 0
		run Faults();
#endif
		run Client(0);
		run Client(1);
#if CLIENTS > 2
		run Client(2)
#endif
	}
}

#ifdef SLOW_TRIES
/* THE PROPERTY: whoever waits is served, or is killed. All clients do the same, so one
 * stands for all. */
ltl served { [] (waits[LAST] -> <> !waits[LAST]) }
#endif
