/*
 * lease.pml: how a lock is held, in time. Safety: two commands never run under one slot.
 *
 * The headings in quotes are those of docs/explanation/design.md. docs/internals/model.md says how to
 * run this file and what is left out, test/model/check what each switch does.
 *
 * The wait queue is not here: it gives hints, and a hint only says when to claim. A
 * client of this model claims whenever it likes, so every wait queue is covered.
 *
 * TIME. A tick is half a heartbeat (LEASE=4) or a whole one (LEASE=2). The network and
 * the broker may take any time for anything, also for ever: a step that is not forced may
 * come late or never. What a client must do by a deadline is forced: the clock does not
 * tick before it is done.
 */

#ifndef CLIENTS
#define CLIENTS 3
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef LEASE
/* 2T in ticks: the broker frees a client that was silent for so long */
#define LEASE 2
#endif

/* "The lease". With the defaults the stop begins 1.4T after the question and the kill
 * comes after 1.9T. Those instants lie in these ticks: */
#define STOP_AT (LEASE / 2)
#define KILL_AT (LEASE - 1)
#define GRACE   (LEASE / 4)     /* the grace in ticks: T/2, or less than a tick */

/* With BOUND the property is another: no command outlives its lock by more ticks than
 * that. It is for the faults that the docs name as exceptions. */

#define NOBODY 0
/* a connection that its client has closed; the broker has not noticed */
#define GHOST  (CLIENTS + 1)
#define ENDED  (LEASE + 1)      /* in silent: the broker has ended this connection */

/* The cluster has a smaller side and a larger one. All clients but the last are at the
 * smaller. */
#define SMALL 0
#define LARGE 1
#define side(c) (((c) == CLIENTS - 1) -> LARGE : SMALL)

/* What a client is doing: not here; the claim is out; granted, and looking once more;
 * its command runs; its command has got the stop signal. */
mtype = { OUT, CLAIM, LOOK, RUN, STOP };
/* A question: none; under way; the answer is under way, good or bad. */
mtype = { NONE, ASKED, YES, NO };

typedef Check {
	mtype q;                    /* the question */
	byte asked;                 /* ticks since it was asked */
	/* ticks since the newest question that was answered well was asked */
	byte proof
}

typedef Client {
	mtype st;
	byte slot;
	Check own;                  /* "Verify", 1. Ownership */
	Check maj;                  /* "Verify", 2. Majority */
	/* the broker's side: ticks since the last request of this connection */
	byte silent;
	byte stopping;              /* ticks since the stop signal */
	byte late                   /* ticks for which the command has outlived the lock */
}

typedef View { byte owner[SLOTS] }

Client client[CLIENTS];
/* who owns the exclusive queue of each slot, as each side sees it */
View view[2];
bool split;                     /* the two sides do not reach each other */
byte cut;                       /* ticks since the split */
#ifdef DELETE_BY_NAME
/* the clean-up of a dead claim will delete this queue by its name */
bool doomed[SLOTS];
#endif

#define alive(c) (client[c].st == RUN || client[c].st == STOP)
#define older(a, b) ((a) > (b) -> (a) : (b))
#define newer(a, b) ((a) < (b) -> (a) : (b))

/* "The lease": of the kinds of checks the one whose newest proof is oldest counts. */
#if defined(ONE_TIME)
#define age(c) newer(client[c].own.proof, client[c].maj.proof)
#elif defined(NO_OWNER_CHECK)
#define age(c) client[c].maj.proof
#elif defined(NO_MAJORITY_CHECK)
#define age(c) client[c].own.proof
#else
#define age(c) older(client[c].own.proof, client[c].maj.proof)
#endif

/* Each step says what it is; `check --trace` prints that for a failure. */
#define say(c, what) printf("client %d ", c); printf(what); printf("\n")
#define note(what)   printf(what); printf("\n")

/* ---- what a client does ----------------------------------------------------------- */

inline ask(check) { check.q = ASKED; check.asked = 0 }

/* "The lease": what was proven by a question sent at t holds from t, not from the
 * answer. */
inline prove(check) {
#ifdef DATED_BY_ANSWER
	check.proof = 0;
#else
	check.proof = newer(check.proof, check.asked);
#endif
	check.q = NONE; check.asked = 0
}

/* "The lease": the socket is closed here, and nowhere else. The broker will see it,
 * now or later. "Release" ends like that too: the queue is free when the broker has
 * handled the deletion. */
inline close_socket(c) {
	replace(SMALL, c, GHOST);
	replace(LARGE, c, GHOST);
	client[c].silent = 0
}

inline replace(s, c, by) {
	if
	:: view[s].owner[client[c].slot] == c + 1 -> view[s].owner[client[c].slot] = by
	:: else
	fi
}

inline forget_all(c) {
	client[c].st = OUT; client[c].slot = 0; client[c].stopping = 0; client[c].late = 0;
	client[c].own.q = NONE; client[c].own.asked = 0; client[c].own.proof = 0;
	client[c].maj.q = NONE; client[c].maj.asked = 0; client[c].maj.proof = 0
}

inline go_out(c) { close_socket(c); forget_all(c) }

inline start_command(c) {
	client[c].st = RUN;
#ifndef BOUND
	/* THE PROPERTY: nobody else's command is alive under this slot. */
	other = 0;
	do
	:: other < CLIENTS ->
		assert(other == c || !alive(other) || client[other].slot != client[c].slot);
		other++
	:: else -> break
	od;
	other = 0
#endif
}

proctype Holder(byte c) {
	byte other;
	do
	/* "Verify": the claim and the question for the majority are sent at the same time. */
	:: d_step { client[c].st == OUT ->
		client[c].st = CLAIM; say(c, "sends its claim, and asks for the majority");
		ask(client[c].own);
#ifndef IN_TURN
		ask(client[c].maj)
#endif
	   }
#ifdef IN_TURN
	:: d_step { client[c].st == CLAIM && client[c].own.q == YES && client[c].maj.q == NONE ->
		ask(client[c].maj); say(c, "asks for the majority after the grant")
	   }
#endif
#if SLOTS > 1
	:: d_step { client[c].st == CLAIM && client[c].slot == 0 && client[c].own.q == ASKED ->
		client[c].slot = 1; say(c, "means slot 2")
	   }
#endif
	/* "Verify": both have been answered. Both proofs count from the claim. Look once
	 * more. */
	:: d_step { client[c].st == CLAIM && client[c].own.q == YES &&
#ifdef NO_MAJORITY_CHECK
	            true ->
#else
	            client[c].maj.q == YES ->
#endif
		client[c].own.proof = client[c].own.asked;
		client[c].maj.proof = client[c].own.asked;
		client[c].maj.q = NONE; client[c].maj.asked = 0;
		client[c].st = LOOK; say(c, "has both answers, looks once more");
#if defined(NO_SECOND_LOOK) || defined(NO_OWNER_CHECK)
		client[c].own.q = YES
#else
		ask(client[c].own)
#endif
	   }
	/* Promise 1: the command starts after the grant and one proof. A grant that has
	 * become too old to be handed out is given back. */
	:: d_step { client[c].st == LOOK && client[c].own.q == YES && age(c) <= STOP_AT ->
		client[c].own.q = NONE; client[c].own.asked = 0;
		say(c, "STARTS ITS COMMAND");
		start_command(c)
	   }
	/* Refused, gone, or no patience left: give back. */
	:: d_step { client[c].st == CLAIM || client[c].st == LOOK -> go_out(c);
		say(c, "gives up, and back what it was granted") }

	/* "Verify": while the command runs, both questions again and again. */
#ifndef NO_OWNER_CHECK
	:: d_step { client[c].st == RUN && client[c].own.q == NONE -> ask(client[c].own);
		say(c, "asks whether it is the owner") }
#endif
#ifndef NO_MAJORITY_CHECK
	:: d_step { client[c].st == RUN && client[c].maj.q == NONE -> ask(client[c].maj);
		say(c, "asks for the majority") }
#endif
	:: d_step { client[c].st == RUN && client[c].own.q == YES -> prove(client[c].own);
		say(c, "reads that it is the owner") }
	:: d_step { client[c].st == RUN && client[c].maj.q == YES -> prove(client[c].maj);
		say(c, "reads that there is a majority") }

	/* Loss: a check says so, or the connection has ended, or the lease runs out. */
	:: d_step { client[c].st == RUN &&
	            (client[c].own.q == NO || client[c].silent == ENDED || age(c) >= STOP_AT) ->
		client[c].st = STOP; say(c, "has lost the lock, sends the stop signal");
		client[c].own.q = NONE; client[c].own.asked = 0;
		client[c].maj.q = NONE; client[c].maj.asked = 0;
		/* Only the older proof matters from now on. */
		client[c].own.proof = age(c);
		client[c].maj.proof = client[c].own.proof
#ifdef SOCKET_FIRST
		; close_socket(c)
#endif
	   }
	/* The tree is dead: by itself, by the stop signal, or by SIGKILL. Only then the
	 * socket is closed. The same step is the end of a command that was not stopped,
	 * and its release. */
	:: d_step { alive(c) -> go_out(c);
		say(c, "command is dead, closes") }
#ifdef DELETE_BY_NAME
	/* docs/explanation/guarantees.md, 6: this client is killed while its claim is unanswered. */
	:: d_step { client[c].st == CLAIM && client[c].own.q == ASKED ->
		doomed[client[c].slot] = true; say(c, "is killed while it claims");
		go_out(c)
	   }
#endif
	od
}

/* ---- what the broker does --------------------------------------------------------- */

/* A node takes three quarters of net_ticktime or more to notice that another has
 * fallen silent. The docs want that to be 2T or more (docs/explanation/guarantees.md, "What
 * to configure"). A connection between nodes that is reset is noticed at once. */
#ifdef RESET_SPLIT
#define noticed true
#else
#define noticed (cut == LEASE)
#endif

/* An exclusive queue is free again: on both sides, or on the side that knows of it. */
inline free_queue(c) {
	if
	:: !split || side(c) == SMALL -> replace(SMALL, c, NOBODY)
	:: else
	fi;
	if
	:: !split || side(c) == LARGE -> replace(LARGE, c, NOBODY)
	:: else
	fi
}

inline grant(c) {
	if
	:: !split || side(c) == SMALL -> view[SMALL].owner[client[c].slot] = c + 1
	:: else
	fi;
	if
	:: !split || side(c) == LARGE -> view[LARGE].owner[client[c].slot] = c + 1
	:: else
	fi
}

/* The broker's end of the connection of client c. */
proctype Connection(byte c) {
	do
	/* "Wire protocol": the broker serialises the declarations of an exclusive queue.
	 * The smaller side of a split cluster does not answer them, or, with Mnesia, from
	 * when it has noticed the split. */
	:: d_step { client[c].st == CLAIM && client[c].own.q == ASKED && client[c].silent != ENDED &&
	            (!split || side(c) == LARGE || noticed) ->
		client[c].silent = 0;
		if
		:: view[side(c)].owner[client[c].slot] == NOBODY ->
			grant(c); client[c].own.q = YES; say(c, "is granted the lock")
		:: else -> client[c].own.q = NO; client[c].own.asked = 0; say(c, "is refused")
		fi
	   }
	/* A passive declaration: the answer depends on who asks. */
	:: d_step { client[c].st != CLAIM && client[c].own.q == ASKED && client[c].silent != ENDED ->
		client[c].silent = 0;
		if
#ifdef ASKED_BY_PUBLISH
		:: view[side(c)].owner[client[c].slot] != NOBODY ->
			client[c].own.q = YES; say(c, "is answered: held")
#else
		:: view[side(c)].owner[client[c].slot] == c + 1 ->
			client[c].own.q = YES; say(c, "is answered: yours")
#endif
		:: else -> client[c].own.q = NO; client[c].own.asked = 0; say(c, "is answered: not yours")
		fi
	   }
	/* basic.get on a quorum queue: on a node that is cut off it stalls. */
	:: d_step { client[c].maj.q == ASKED && client[c].silent != ENDED &&
	            (!split || side(c) == LARGE) ->
		client[c].silent = 0;
		client[c].maj.q = YES; say(c, "is answered: majority")
	   }
	/* "The lease": RabbitMQ frees a silent client's queues 2T to 3T after its last
	 * byte. The model knows the lower bound, and lets it happen at any time after
	 * that. */
	:: d_step { client[c].st != OUT && client[c].silent == LEASE ->
		client[c].silent = ENDED; say(c, "was silent for 2T, its lock is freed");
		free_queue(c)
	   }
#ifdef ABRUPT
	/* docs/explanation/guarantees.md, 2: a reset, a FIN, an operator: the connection ends at once. */
	:: d_step { client[c].st != OUT && client[c].silent < LEASE ->
		client[c].silent = ENDED; say(c, "connection is ended by the broker, its lock is freed");
		free_queue(c)
	   }
#endif
#ifdef VANISH
	/* docs/explanation/guarantees.md, 4 and 5: the queue is deleted, and its owner gets no notice. */
	:: d_step { view[LARGE].owner[client[c].slot] == c + 1 -> free_queue(c);
		say(c, "queue vanishes") }
#endif
	od
}

/* The rest of the cluster. It may split and heal as often as it likes. */
proctype Cluster() {
	byte s;
	do
	/* The broker notices the end of a closed connection, or handles the deletion. */
	:: d_step { view[SMALL].owner[0] == GHOST -> view[SMALL].owner[0] = NOBODY }
	:: d_step { view[LARGE].owner[0] == GHOST -> view[LARGE].owner[0] = NOBODY }
#if SLOTS > 1
	:: d_step { view[SMALL].owner[1] == GHOST -> view[SMALL].owner[1] = NOBODY }
	:: d_step { view[LARGE].owner[1] == GHOST -> view[LARGE].owner[1] = NOBODY }
#endif
#ifdef DELETE_BY_NAME
	/* rabbitmq-server#15276: whoever owns it by now. */
	:: d_step { doomed[0] ->
		doomed[0] = false; view[SMALL].owner[0] = NOBODY; view[LARGE].owner[0] = NOBODY;
		note("the dead claim's clean-up deletes the queue by its name") }
#if SLOTS > 1
	:: d_step { doomed[1] ->
		doomed[1] = false; view[SMALL].owner[1] = NOBODY; view[LARGE].owner[1] = NOBODY }
#endif
#endif
#ifndef NO_SPLIT
	:: d_step { !split -> split = true; cut = 0; note("THE CLUSTER SPLITS") }
#ifndef KEEPS
	/* The larger side gives the nodes of the smaller one up, and grants their locks
	 * again. */
	:: d_step { split && noticed ->
		note("the larger side forgets the locks of the smaller");
		s = 0;
		do
		:: s < SLOTS ->
			if
			:: view[LARGE].owner[s] != NOBODY && view[LARGE].owner[s] != CLIENTS ->
				view[LARGE].owner[s] = NOBODY
			:: else
			fi;
			s++
		:: else -> break
		od;
		s = 0
	   }
	/* The smaller side does the same, and grants again what others hold. */
	:: d_step { split && noticed ->
		note("the smaller side forgets the locks of the larger");
		s = 0;
		do
		:: s < SLOTS ->
			if
			:: view[SMALL].owner[s] == CLIENTS -> view[SMALL].owner[s] = NOBODY
			:: else
			fi;
			s++
		:: else -> break
		od;
		s = 0
	   }
#endif
	/* The sides reach each other again. The smaller one takes over what the larger one
	 * says; with Mnesia each goes on with its own view (docs/explanation/guarantees.md, 1). */
	:: d_step { split ->
		split = false; cut = 0; note("THE SIDES REACH EACH OTHER AGAIN");
#ifndef TWO_VIEWS
		s = 0;
		do
		:: s < SLOTS -> view[SMALL].owner[s] = view[LARGE].owner[s]; s++
		:: else -> break
		od;
		s = 0
#endif
	   }
#endif
	od
}

/* ---- time ------------------------------------------------------------------------- */

/* Ticks since the claim was sent. */
#define claimed(c) older(client[c].own.asked, client[c].own.proof)

/* Nobody has missed, or is about to miss, a deadline. */
#ifdef NO_LEASE
#define punctual(c) true
#else
#define punctual(c) (!(client[c].st == RUN && age(c) >= STOP_AT) && \
                     !(alive(c) && age(c) >= KILL_AT) && stops(c) && hears(c))
#endif
#if CLIENTS == 2
#define all_punctual (punctual(0) && punctual(1))
#else
#define all_punctual (punctual(0) && punctual(1) && punctual(2))
#endif
/* The grace is kept after any stop, and the end of the connection is heard at once. */
#define stops(c) !(client[c].st == STOP && client[c].stopping >= GRACE)
#ifdef NEWS_LOST
#define hears(c) true
#else
#define hears(c) !(client[c].st == RUN && client[c].silent == ENDED)
#endif

/* A question so old that its answer renews nothing is forgotten: the model may ask again. */
inline tick_check(check, granted) {
	if
	:: check.q == ASKED || check.q == YES ->
		if
		:: check.asked < STOP_AT -> check.asked++
		:: else -> check.q = NONE; check.asked = 0
		fi
	:: else
	fi;
	if
	:: granted && check.proof < LEASE -> check.proof++
	:: else
	fi
}

proctype Clock() {
	byte c;
	do
	:: d_step {
		all_punctual -> note("-- tick --");
		c = 0;
		do
		:: c < CLIENTS ->
			if
			:: client[c].st == STOP -> client[c].stopping++
			:: else
			fi;
			/* A claim that has become too old to be handed out is given up. */
			if
			:: (client[c].st == CLAIM || client[c].st == LOOK) && claimed(c) >= STOP_AT ->
				go_out(c)
			:: else
			fi;
			if
			:: client[c].st != OUT ->
				tick_check(client[c].own, (client[c].st == LOOK || alive(c)));
				tick_check(client[c].maj, (client[c].st == LOOK || alive(c)));
				if
				:: client[c].silent < LEASE -> client[c].silent++
				:: else
				fi
			:: else
			fi;
#ifdef BOUND
			/* THE PROPERTY, where the docs admit that two may run: for so long at
			 * most. */
			if
			:: alive(c) && view[LARGE].owner[client[c].slot] != c + 1 -> client[c].late++
			:: else
			fi;
			assert(client[c].late <= BOUND);
#endif
			c++
		:: else -> break
		od;
		c = 0;
		if
		:: split && cut < LEASE -> cut++
		:: else
		fi
	   }
	od
}

init {
	byte c;
	atomic {
		do
		:: c < CLIENTS ->
			forget_all(c);
			run Holder(c);
			run Connection(c);
			c++
		:: else -> break
		od;
		c = 0;
		run Cluster();
		run Clock()
	}
}
