/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who waits for whom in dm-replica, for the model checker Spin: rule 6 of its protocol.
 * A leg may stop answering at any time, and for ever. See replica.pml for the data.
 *
 * Property: there is no end state but that everybody has got what he waits for, unless
 * what he waits for is the leg that hangs. A second read, of another leg, is answered,
 * and so is `fail` for the leg that hangs, which includes a RECORD on the other legs.
 */

#define N	3
#define NOBODY	3

mtype = { COPY, RETRY, RECORD };

byte hung = NOBODY;
bit live[N] = 1;
byte wanted;				/* RECORDs, by those who want one */
byte recorded;				/* the last one of these that is complete */
byte source, target;			/* of a COPY */
bit read_done;
byte read_leg;

/* What may sleep is done by work items. Each kind has its own. */
chan copies = [1] of { mtype };
chan retries = [1] of { mtype };
chan records = [2] of { mtype };

#ifdef NO_RULE_6
#define queue(own)	work
chan work = [4] of { mtype };
#else
#define queue(own)	own
#endif

/* I/O to a leg and its answer. A superblock of a leg that is dropped is not waited for. */
#define answers(leg)	(hung != leg)
#ifdef RECORD_WAITS_FOR_DROPPED
#define recorded_on(leg)	answers(leg)
#else
#define recorded_on(leg)	(answers(leg) || !live[leg])
#endif

/* To wait for the leg that hangs is no fault as such. */
inline copy() {
	skip;
end_copy:
	(answers(source) && answers(target))
}

inline retry() {
	skip;
end_retry:
	(answers(read_leg)) -> read_done = 1
}

inline record() {
	record_of = wanted;
end_record:
	(recorded_on(0) && recorded_on(1) && recorded_on(2)) -> recorded = record_of
}

#ifdef NO_RULE_6
active proctype worker() {
	byte record_of;

end:	do
	:: work?COPY -> copy()
	:: work?RETRY -> retry()
	:: work?RECORD -> record()
	od
}
#else
active proctype copier() {
end:	do
	:: copies?COPY -> copy()
	od
}

active proctype retrier() {
end:	do
	:: retries?RETRY -> retry()
	od
}

active proctype recorder() {
	byte record_of;

end:	do
	:: records?RECORD -> record()
	od
}
#endif

/* A leg is rebuilt from another one, and superblocks are written for some reason. */
active proctype rebuild() {
	if
	:: source = 0; target = 1
	:: source = 2; target = 0
	fi;
	queue(copies)!COPY;
	wanted++;
	queue(records)!RECORD
}

/* A read that one leg has failed goes to another one, which may be the one that hangs. */
active proctype reader() {
	if
	:: read_leg = 0
	:: read_leg = 1
	:: read_leg = 2
	fi;
	queue(retries)!RETRY;
	(read_done || hung == read_leg)
}

active proctype hang() {
	if
	:: hung = 0
	:: hung = 1
	:: hung = 2
	:: skip
	fi
}

/* The message `fail` for the leg that hangs. It returns when the others say so. */
active proctype person() {
	byte want;

end:	(hung != NOBODY);
	d_step {
		live[hung] = 0;
		wanted++;
		want = wanted
	};
	queue(records)!RECORD;
	(recorded >= want)
}
