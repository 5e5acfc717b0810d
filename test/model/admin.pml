/*
 * admin.pml: administration. Safety: slots have no hole, their number is what the
 * administrators were asked for, and a drain ends no command.
 *
 * The headings in quotes are those of docs/explanation/design.md. docs/internals/model.md says how to
 * run this file and what is left out, test/model/check what each switch does.
 *
 * Administrators 0 and 1 change one semaphore, as with `change +2` and `change -1`; with
 * DRAIN the second is `change --drain -1`, and somebody takes a slot meanwhile. Each
 * administrator may lose its connection at any moment, and with it the administration
 * mutex. There is no time.
 */

#ifndef START
#define START 2                 /* slots at the beginning */
#endif
#ifndef DELTA0
#define DELTA0 2                /* what administrator 0 adds; a negative number removes */
#endif
#ifndef DELTA1
#define DELTA1 (-1)
#endif
#define delta(a) ((a) == 0 -> DELTA0 : DELTA1)
#define MOST 5                  /* START and what may be added, and one more */

/* the owner of an exclusive queue: administrator + 1, or */
#define NOBODY  0
#define HOLDER  3
/* its connection has ended, and the broker deletes the queue soon */
#define GHOST   4

/* A request of an administrator: none; to add or to remove a slot. */
mtype = { NONE, ADD, REMOVE };

bool slot[MOST + 1];            /* NAME-A-i exists, i = 1.. */
byte held[MOST + 1];            /* the owner of NAME-B-i */
byte mutex;                     /* the owner of NAME */
byte drain;                     /* the owner of NAME-D */
bool lost[2];                   /* the connection of this administrator has ended */
mtype request[2] = NONE;        /* what the broker has been asked and has not done yet */
byte number[2];                 /* and with which slot */
bool done[2];                   /* this administrator has reported success */

#define say(a, what) printf("administrator %d ", a); printf(what); printf("\n")
#define note(what)   printf(what); printf("\n")

/* The slots before the first that is missing: that is how many there are for
 * everybody. */
inline survey(n) {
	n = 0;
	do
	:: n < MOST && slot[n + 1] -> n++
	:: else -> break
	od
}

/* ---- the broker ------------------------------------------------------------------- */

/* THE PROPERTY: "so whatever happens, slots have no hole". */
inline no_hole() {
	survey(i);
	do
	:: i < MOST -> i++; assert(!slot[i])
	:: else -> break
	od;
	i = 0
}

inline carry_out(a) {
	slot[number[a]] = (request[a] == ADD);
	if
	:: request[a] == ADD -> note("a slot is added")
	:: else -> note("a slot is removed")
	fi;
	request[a] = NONE; number[a] = 0;
	no_hole()
}

inline leave_to_broker(queue, a) {
	if
	:: queue == a + 1 -> queue = GHOST
	:: else
	fi
}

/* The connection of an administrator ends. What the broker has begun is done or
 * dropped before the queues that it held are free for others; with LATE_WRITE it may
 * be done later. */
inline end_connection(a) {
	lost[a] = true; say(a, "LOSES ITS CONNECTION");
	leave_to_broker(mutex, a);
	leave_to_broker(drain, a);
	i = 1;
	do
	:: i <= MOST -> leave_to_broker(held[i], a); i++
	:: else -> break
	od;
	i = 0
#ifdef DROPPED
	; request[a] = NONE
#endif
}

#ifdef LATE_WRITE
#define settled true
#else
#define settled ((!lost[0] || request[0] == NONE) && (!lost[1] || request[1] == NONE))
#endif

proctype Broker() {
	byte i;
end:	do
	:: d_step { request[0] != NONE -> carry_out(0) }
	:: d_step { request[1] != NONE -> carry_out(1) }
	:: d_step { !lost[0] && !done[0] -> end_connection(0) }
	:: d_step { !lost[1] && !done[1] -> end_connection(1) }
	:: d_step { mutex == GHOST && settled -> mutex = NOBODY; note("the mutex is free") }
	:: d_step { drain == GHOST && settled -> drain = NOBODY }
	:: d_step { held[1] == GHOST && settled -> held[1] = NOBODY }
	:: d_step { held[2] == GHOST && settled -> held[2] = NOBODY }
	od
}

/* ---- administrators --------------------------------------------------------------- */

/* All writing is done on the connection that holds the mutex, so an administrator that
 * has lost it writes no more. */
#ifdef OTHER_CONNECTION
#define may_write(a) true
#else
#define may_write(a) (!lost[a])
#endif

/* One by one, each answer awaited. */
inline write(a, what, n) {
	atomic {
		if
		:: may_write(a) -> request[a] = what; number[a] = n; say(a, "asks for the next change")
		:: else -> goto ends
		fi
	};
	if
	:: request[a] == NONE
	:: !(may_write(a)) -> goto ends
	fi
}

proctype Administrator(byte a) {
	byte n, k;

	/* "Administration": it holds the exclusive queue NAME meanwhile. */
	if
	:: atomic { !lost[a] && mutex == NOBODY -> mutex = a + 1; say(a, "has the mutex") }
	:: lost[a] -> goto ends
	fi;
	atomic { survey(n); say(a, "counts the slots") };
	/* Slots are added at the end and removed from the end, never below 0. */
	if
	:: delta(a) > 0 ->
		k = 1;
		do
		:: k <= delta(a) ->
#ifdef FROM_TOP
			write(a, ADD, n + delta(a) + 1 - k);
#else
			write(a, ADD, n + k);
#endif
			k++
		:: else -> break
		od
	:: else ->
		k = 0;
		do
		:: k < -delta(a) && k < n ->
			write(a, REMOVE, n - k);
			k++
		:: else -> break
		od
	fi;
	atomic {
		if
		:: !lost[a] -> mutex = NOBODY; done[a] = true; say(a, "is done")
		:: else
		fi
	};
ends:
	skip
}

#ifdef DRAIN
/* "Administration": a drain holds NAME-D. Whoever looks for a slot sees it and leaves
 * the last one alone, so that comes free; it is then taken, and removed under the
 * mutex. */
proctype Drain(byte a) {
	byte n, now;
	if
	:: atomic { !lost[a] && drain == NOBODY -> drain = a + 1; say(a, "drains") }
	:: lost[a] -> goto ends
	fi;
again:
	atomic { survey(n) };
	if
	:: n == 0 -> goto ends
	:: else
	fi;
	if
	:: atomic { !lost[a] && held[n] == NOBODY -> held[n] = a + 1; say(a, "takes the last slot") }
	:: lost[a] -> goto ends
	fi;
	if
	:: atomic { !lost[a] && mutex == NOBODY -> mutex = a + 1; say(a, "has the mutex") }
	:: lost[a] -> goto ends
	fi;
	atomic { survey(now) };
	if
	:: now == n -> write(a, REMOVE, n)
	:: else /* another administrator has added or removed slots */
	fi;
	/* The mutex and NAME-B-i are given back. */
	if
	:: atomic { !lost[a] -> mutex = NOBODY }
	:: lost[a] -> goto ends
	fi;
	if
	:: atomic { !lost[a] -> held[n] = NOBODY; say(a, "gives the last slot back") }
	:: lost[a] -> goto ends
	fi;
	if
	:: now != n -> goto again
	:: else
	fi;
	atomic {
		if
		:: !lost[a] -> drain = NOBODY; done[a] = true; say(a, "is done")
		:: else
		fi
	};
ends:
	skip
}

/* Somebody takes a slot. The question whether the slot stands is asked beside the
 * claim, and again after the grant ("Verify"). */
proctype Holder() {
	byte n, mine;
	bool stands;
	/* "Looking for a free slot": it takes any of them. */
	atomic {
		survey(n);
		mine = 1;
		do
		:: mine <= n -> mine++
		:: mine <= n && held[mine] == NOBODY && (drain == NOBODY || mine < n) -> break
		:: mine > n -> goto gives_up
		od
	};
	atomic { stands = slot[mine]; note("the holder is answered whether its slot stands") };
	atomic {
		if
		:: held[mine] == NOBODY -> held[mine] = HOLDER; note("the holder is granted its slot")
		:: else -> goto gives_up
		fi
	};
#ifndef ASKED_BESIDE_ONLY
	atomic { stands = stands && slot[mine]; note("the holder is answered again") };
#endif
	if
	:: !stands -> goto releases
	:: else
	fi;
	/* THE PROPERTY: a drain, and nobody else is at work, ends no command. */
	note("THE HOLDER STARTS ITS COMMAND");
	assert(slot[mine]);
	do
	:: assert(slot[mine])
	:: break
	od;
releases:
	held[mine] = NOBODY;
gives_up:
	skip
}
#endif

init {
	byte i;
	atomic {
		i = 1;
		do
		:: i <= START -> slot[i] = true; i++
		:: else -> break
		od;
		i = 0;
		run Broker();
#ifdef DRAIN
		run Drain(1);
		run Holder()
#else
		run Administrator(0);
		run Administrator(1)
#endif
	};
#ifndef DRAIN
	/* THE PROPERTY: when both have reported success their changes have been made, and
	 * no others. */
end:	done[0] && done[1];
	survey(i);
	assert(i == START + DELTA0 + DELTA1)
#endif
}
