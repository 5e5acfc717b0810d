/*
 * history.pml: the log of grants, and the fencing token. Safety: tokens grow, and two
 * commands of one slot are never alive at once although the broker has granted it twice.
 *
 * All of it is in the code, as --fence. There a newcomer also looks at a beacon before it
 * takes a rival for dead; the model takes a live rival to give its sign in time.
 * The headings in quotes are those of docs/explanation/history.md. docs/internals/model.md
 * says how to run this file and what is left out, test/model/check what each switch does.
 *
 * The rules, in short. "How it works": a lock with --fence has a stream, NAME-L. After
 * the grant a client appends a record with a token: the larger of the greatest token in
 * the log plus one, and its clock. It reads the log up to its own record, and appends
 * again if a record came between with a token as large. Then its command starts.
 * "Granted twice": holders follow the log. One that reads a newer grant of its slot gives
 * a sign of life, stops its command and appends its end. A newcomer that finds a grant of
 * its slot without an end waits for a sign of life, and, if there is one, for the end.
 */

#ifndef CLIENTS
#define CLIENTS 3
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef SKEW
#define SKEW 0                  /* the clock of client 0 is ahead by so much */
#endif
#ifndef TAILS
/* how often the log loses its newest record, when nodes are killed */
#define TAILS 0
#endif
#ifndef DELETIONS
#define DELETIONS 0             /* how often the log is deleted */
#endif
#ifndef DOUBLES
/* how often the broker grants a slot that is held: Mnesia */
#define DOUBLES 0
#endif
#ifndef CRASHES
#define CRASHES 0               /* how many holders die without an end in the log */
#endif
#define LENGTH 13               /* of the log */

mtype = { GRANT, SIGN, END };

typedef Record {
	mtype kind;
	byte token;
	byte who;                   /* client + 1 */
	byte slot
}

Record log[LENGTH];
byte length;
byte now = 1;                   /* the right time; every record takes some of it */
byte holders[SLOTS];            /* to how many the broker has granted the slot */
byte alive[SLOTS];              /* how many commands run under it */
/* there is a newer grant of its slot in the log than its own */
bool newer[CLIENTS];
/* slot + 1, when its grant is in the log without an end */
byte open[CLIENTS];
bool gone[CLIENTS];             /* this client has died */
byte greatest;                  /* token of a command that has started */
byte greatest_of[SLOTS];        /* the same for each slot */
int used;                       /* a bit for each token of a command that has started */

byte tails = TAILS;
byte deletions = DELETIONS;
byte doubles = DOUBLES;
byte crashes = CRASHES;

#define say(c, what) printf("client %d ", c); printf(what); printf("\n")
#define note(what)   printf(what); printf("\n")
#define clock(c) (now + ((c) == 0 -> SKEW : 0))
#define larger(a, b) ((a) > (b) -> (a) : (b))

/* ---- the log ---------------------------------------------------------------------- */

inline append(c, what, number) {
	assert(length < LENGTH);
	log[length].kind = what; log[length].token = number;
	log[length].who = c + 1; log[length].slot = slot;
	length++; now++
}

/* The greatest token of another in the records from `from` to before `end`. */
inline read_tokens(c, from, end) {
	seen = 0; i = from;
	do
	:: i < end && i < length ->
		if
		:: log[i].kind == GRANT && log[i].who != c + 1 -> seen = larger(seen, log[i].token)
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* The token of the newest grant: what a reader gets that begins at the end of the
 * stream. */
inline read_last() {
	i = length;
	do
	:: i > 0 && log[i - 1].kind != GRANT -> i--
	:: else -> break
	od;
	seen = (i > 0 -> log[i - 1].token : 0);
	i = 0
}

/* Whose grants of the own slot come before the own record, and have no end so far: a
 * bit for each. */
inline read_rivals(c) {
	rivals = 0; signs = 0; i = 0;
	do
	:: i < length ->
		if
		:: i < mine && log[i].kind == GRANT && log[i].slot == slot && log[i].who != c + 1 ->
			rivals = rivals | (1 << log[i].who)
		:: log[i].kind == END -> rivals = rivals & ~(1 << log[i].who)
		:: i > mine && log[i].kind == SIGN -> signs = signs | (1 << log[i].who)
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* A grant in the log is a newer one for everybody who has one of the same slot there. */
inline append_grant(c, number) {
	append(c, GRANT, number);
	i = 0;
	do
	:: i < CLIENTS -> newer[i] = newer[i] || (i != c && open[i] == slot + 1); i++
	:: else -> break
	od;
	i = 0;
	newer[c] = false; open[c] = slot + 1
}

inline append_end(c) { append(c, END, 0); open[c] = 0; newer[c] = false }

proctype Faults() {
	byte i;
end:	do
	:: d_step { tails > 0 && length > 0 ->
		tails--; length--; note("THE LOG LOSES ITS NEWEST RECORD");
		log[length].kind = 0; log[length].token = 0; log[length].who = 0; log[length].slot = 0 }
	:: d_step { deletions > 0 && length > 0 -> deletions--; note("THE LOG IS DELETED");
		do
		:: length > 0 -> length--;
			log[length].kind = 0; log[length].token = 0;
			log[length].who = 0; log[length].slot = 0
		:: else -> break
		od;
		length = 0 }
	od
}

/* ---- the client ------------------------------------------------------------------- */

inline take_token(c) {
	skip;
again:
	atomic {
		say(c, "reads the log");
#ifdef LAST_ONLY
		read_last();
#else
		read_tokens(c, 0, length);
#endif
		from = length
	};
	d_step {
		token = larger(larger(seen, between) + 1, clock(c)); mine = length;
		append_grant(c, token); say(c, "appends a grant with token"); printf("%d\n", token)
	};
#ifndef NO_READ_BACK
	/* It reads up to its own record. Where that got lost, or one came between: once
	 * more. */
	atomic {
		read_tokens(c, from, mine);
		if
		:: mine >= length || log[mine].who != c + 1 || log[mine].token != token -> goto again
		:: seen >= token -> between = seen; goto again
		:: else -> say(c, "has read its record back")
		fi
	};
#endif
	skip
}

/* A rival is waited for until its end is in the log, or half a second without a sign
 * of life is over. The model takes a live rival to give its sign in time; with
 * SLOW_FOLLOWER it may be late. */
#ifdef SLOW_FOLLOWER
#define silent(r) (!(signs & (1 << ((r) + 1))))
#else
#define silent(r) gone[r]
#endif
#define waits_for(r) ((rivals & (1 << ((r) + 1))) && !silent(r))
#if CLIENTS > 2
#define any_rival (waits_for(0) || waits_for(1) || waits_for(2))
#else
#define any_rival (waits_for(0) || waits_for(1))
#endif

proctype Client(byte c) {
	byte slot, token, seen, between, from, mine, i, rivals, signs;
	/* the greatest token of a command that started before the grant */
	byte before;
	bool waits = true;

#if SLOTS > 1
	if
	:: slot = 0
	:: slot = 1
	fi;
#endif
#ifdef TOKEN_BEFORE_GRANT
	take_token(c);
#endif
	atomic { holders[slot] == 0 || doubles > 0 ->
		if
		:: holders[slot] > 0 -> doubles--
		:: else
		fi;
		holders[slot]++; before = greatest; say(c, "is granted its slot")
	};
#ifndef TOKEN_BEFORE_GRANT
	take_token(c);
#endif
#ifndef NO_FOLLOWING
	/* It waits for its rivals. Who waits follows the log too, and gives up for a newer
	 * grant. */
	do
	:: d_step { newer[c] -> append(c, SIGN, 0); say(c, "reads a newer grant, gives up") };
		goto gives_up
	:: d_step { waits -> read_rivals(c); waits = any_rival }
	:: !waits -> break
	od;
#endif
	atomic {
		say(c, "STARTS ITS COMMAND"); rivals = 0; signs = 0;
		/* THE PROPERTIES, "Granted twice" and "Fencing tokens": one command of a slot is
		 * alive, and tokens grow. Where two are alive either may start first, so that
		 * comes first. */
		assert(alive[slot] == 0);
		assert(token > before && token > greatest_of[slot] && !(used & (1 << token)));
		used = used | (1 << token);
		greatest = larger(greatest, token); greatest_of[slot] = token;
		alive[slot]++
	};
	do
#ifndef NO_FOLLOWING
	:: d_step { newer[c] ->
		append(c, SIGN, 0); say(c, "reads a newer grant, gives a sign of life") };
		break
#endif
	:: break
	:: atomic { crashes > 0 -> crashes--; gone[c] = true; alive[slot]--; holders[slot]--;
		say(c, "DIES") };
		goto ends
	od;
	atomic { alive[slot]--; say(c, "command is dead") };
gives_up:
	atomic { append_end(c); say(c, "appends its end") };
	holders[slot]--;
ends:
	atomic { slot = 0; token = 0; seen = 0; between = 0; from = 0; mine = 0; before = 0 }
}

init {
	atomic {
#if TAILS + DELETIONS > 0
		run Faults();
#endif
		run Client(0);
		run Client(1);
#if CLIENTS > 2
		run Client(2)
#endif
	}
}
