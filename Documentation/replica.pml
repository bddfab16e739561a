/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The protocol of dm-replica, for the model checker Spin: three legs, one region of
 * the write-intent bitmap in SECTORS sectors. scripts/model verifies it, and verifies
 * that it fails with each of the protocol's rules taken out. The steps have the names
 * that dm-replica.c uses for them.
 *
 * One process takes one step after the other, any that is possible. What is in flight
 * is in variables, so the machine may stop between any two steps, each leg may fail at
 * each step, and a failed write may have reached the leg or not. A leg that is absent,
 * or whose superblock cannot be read, is that for one LOAD; it comes back with another.
 *
 * Properties, all of them assertions:
 *
 *  - a read returns what was acknowledged last, or a write that was in flight or has
 *    failed since, unless a person gave `degraded` and it was needed;
 *  - what a read has returned stays, until somebody writes or the leg that has it is
 *    lost;
 *  - without a forced activation in its history, no set is refused as split brain, and
 *    one whose legs are all there and readable is activated;
 *  - a leg is dropped only for what a device has reported or a person has asked for;
 *  - when a write is acknowledged or a set is stopped, every change of a leg's state
 *    has been told with an event.
 *
 * Forced is an activation with `degraded` that needed it. Where that leaves two histories,
 * nothing is promised to the one that is not loaded, but to load both is refused.
 *
 * What a read returned is also given up while its leg is being dropped, that is until the
 * RECORD of it is complete, and while a COPY to the leg it came from is on its way.
 *
 * Without CACHE, each write is as if with FUA. Not in this model: more than one write in
 * flight, more than one region, an end to the list preds[], legs that hang (see
 * replica-hang.pml), legs that return wrong data, a leg that is replaced by an older copy
 * of itself.
 */

#ifndef SECTORS
#define SECTORS		1
#endif
/* How much may happen in one history. */
#ifndef WRITES
#define WRITES		2
#endif
#ifndef FAULTS
#define FAULTS		2	/* errors of a device, `fail` messages */
#endif
#ifndef LOADS
#define LOADS		3
#endif
#ifndef IDS
#define IDS		5	/* changes of the live legs */
#endif
#ifndef REBUILDS
#define REBUILDS	1
#endif
#ifndef UNREADABLE
#define UNREADABLE	1	/* superblocks that could not be read in a LOAD */
#endif
#ifndef FORCED
#define FORCED		1	/* activations with `degraded` that needed it */
#endif
#ifndef EMPTIES
#define EMPTIES		0	/* legs replaced by empty disks */
#endif
#ifndef REFUSALS
#define REFUSALS	0	/* writes that some legs do not get for lack of memory */
#endif
#ifndef BAD_SECTORS
#define BAD_SECTORS	0
#endif
/* With CACHE, what is written to a leg stays in a volatile cache until a flush. */

#define N		3
#define ALL		7
#define B(leg)		(1 << (leg))
#define ANYTHING	255	/* as a set of values */
#define GARBAGE		7	/* as a value */
#define NOBODY		3	/* as a leg */

/* On the legs: the superblock, the bit, the data. */
bit s_valid[N];
bit s_dirty[N];
byte s_live[N];
byte s_id[N];
byte s_pred[N];			/* preds[0] */
byte s_preds[N];		/* all of them, a set */
byte s_data_id[N];
byte s_base[9];
bit s_bit[N];
byte data[N * SECTORS];
#ifdef CACHE
byte stable[N];			/* what data[] may be after a crash */
#endif
bit bad[N];			/* the last sector cannot be read */
#ifdef NO_RULE_2
byte s_number[N];
#endif

/* In memory, as long as the set is loaded. */
bit on;
byte present;
byte live;
byte recorded;
byte rebuilding;
byte rebuilt;			/* rebuilding legs with all data, to be LIVE with the RECORD */
byte id;
byte pred;
byte preds;
byte base[N];
byte recorded_id;
bit stale;			/* a RECORD has to be made */
bit activated;			/* ACTIVATE has been asked for */
bit marked;			/* the superblocks say DIRTY */
bit cleaning;			/* CLEAN is on its way */
bit bits;			/* the region's bit is set, or is wanted for a leg that is away */
bit dirty;			/* it is on disk, on all live legs */
bit differ;
byte todo;			/* legs that lack the region */
byte round;			/* of RECORD, 0 if there is none */
byte record_legs;		/* it has yet to reach */
byte record_live;
bit record_dirty;
byte bit_step;			/* 0, SET, or FLUSH and then CLEAR */
#define SET		1
#define CLEAR		2
#define FLUSH		3
byte bit_legs;
bit copying;
byte copy_for;			/* legs whose todo ends with it */
byte copy_legs;			/* by sector: a leg and its sector are bit leg + 3 * sector */
byte buffer[SECTORS];
byte writing;			/* 0, SENT, HELD to be acknowledged or to FAIL */
#define SENT		1
#define HELD		2
#define HELD_TO_FAIL	3
byte write_sector;
byte write_value;
byte write_legs;		/* have yet to answer */
byte write_failed;
byte write_refused;		/* legs that were not sent it */
#ifdef NO_RULE_2
byte number;
#endif
#ifdef NO_RULE_3
bit was_read_only;
#endif

/* What has happened, and what may be read: sets of values, one bit a value. */
byte last_id = 1;
byte writes;
byte faults;
byte loads;
byte rebuilds;
byte unreadables;
byte forceds;
byte empties;
byte refusals;
byte bad_sectors;
bit forced;			/* the history was not linear from here on */
bit unrecorded;			/* forced, and the superblocks do not say so yet */
bit untold;			/* a leg's state has changed without an event */
byte head = 1;			/* what the superblocks said when they last were complete */
byte head_preds;
byte forced_at;			/* newest identifier when a part of the legs was forced */
byte may[SECTORS];
#ifdef CACHE
byte may_crashed;		/* the same, after a crash */
bit write_fua;
#endif
byte pinned[SECTORS];		/* the leg that a read came from */
byte pinned_value[SECTORS];

/* Scratch, 0 between steps. What is only used within one is not part of the state. */
#ifdef BFS
#define hidden
#endif
hidden byte leg, other, count, failed, newest, needed;
hidden byte ok, at_fault;
byte sector, found;
bit degraded;

/* What a counterexample is made of: step, leg or legs, state. */
mtype = { LOAD, CRASH, ACTIVATE, RECORD, RECORD_REACHES, RECORD_FAILS, RECORD_COMPLETE,
	SET_BIT, CLEAR_BITS, BIT_REACHES, WRITE, WRITE_REACHES, WRITE_FAILS, ACK,
	REBUILD_BEGIN, COPY, COPY_REACHES, REBUILD_END, FAIL, CLEAN, EMPTY_DISK, BAD_SECTOR };
#define LEG_STATE(l) \
	s_id[l], s_live[l], s_dirty[l], s_bit[l], data[l * SECTORS], \
	data[l * SECTORS + SECTORS - 1]
#define STEP(name, l) \
	printf("%e %d: live %d rebuilding %d id %d stale %d differ %d\n", name, l, live, \
	       rebuilding, id, stale, differ)

#define first_of(legs)	((legs & 1) -> 0 : ((legs & 2) -> 1 : 2))

#ifdef NO_RULE_7
#define EVENT	untold = 1
#else
#define EVENT	untold = 0
#endif

/* A pin holds as long as its leg is live; with that one gone, if all others agree. */
inline release_pins(gone) {
	sector = 0;
	do
	:: sector == SECTORS -> break
	:: else ->
		if
		:: pinned[sector] == gone ->
			pinned[sector] = NOBODY;
			other = 0;
			do
			:: other == N -> break
			:: else ->
				if
				:: (live & B(other)) && data[other * SECTORS + sector] != pinned_value[sector] ->
					pinned[sector] = NOBODY;
					break
				:: (live & B(other)) && data[other * SECTORS + sector] == pinned_value[sector] ->
					pinned[sector] = other
				:: else
				fi;
				other++
			od;
			if
			:: pinned[sector] == NOBODY -> pinned_value[sector] = 0
			:: else
			fi
		:: else
		fi;
		sector++
	od;
	sector = 0;
	other = 0
}

/*
 * DROP: sets ok to whether the leg was dropped. A leg that still gets data is no
 * substitute for the last live one, whose superblock does not name it.
 */
inline drop(l) {
#ifdef DROP_LAST_FOR_REBUILT
	ok = ((live | rebuilt) & ~B(l)) != 0;
	if
	:: ok && !(live & ~B(l)) ->
		live = live | rebuilt;
		recorded = recorded | rebuilt;
		rebuilding = rebuilding & ~rebuilt;
		rebuilt = 0
	:: else
	fi;
#else
	ok = (live & ~B(l)) != 0;
#endif
	if
	:: ok ->
		live = live & ~B(l);
		rebuilding = rebuilding & ~B(l);
		rebuilt = rebuilt & ~B(l);
		todo = todo & ~B(l);
		record_legs = record_legs & ~B(l);
		bit_legs = bit_legs & ~B(l);
		copy_legs = copy_legs & ~(B(l) | B(l + N));
		copy_for = copy_for & ~B(l);
		stale = 1;
		EVENT;
		release_pins(l)
	:: else
	fi
}

/* All that is in memory is gone. */
inline forget() {
	on = 0; present = 0; live = 0; recorded = 0; rebuilding = 0;
	rebuilt = 0; id = 0; pred = 0; preds = 0; base[0] = 0; base[1] = 0; base[2] = 0;
	recorded_id = 0; stale = 0; activated = 0; marked = 0; cleaning = 0; bits = 0;
	dirty = 0; differ = 0; todo = 0; round = 0; record_legs = 0; record_live = 0;
	record_dirty = 0; bit_step = 0; bit_legs = 0; copying = 0; copy_legs = 0; copy_for = 0;
	buffer[0] = 0; writing = 0; write_sector = 0; write_value = 0; write_legs = 0;
	write_failed = 0; write_refused = 0; unrecorded = 0; untold = 0;
#ifdef CACHE
	write_fua = 0;
#endif
#if SECTORS == 2
	buffer[1] = 0;
#endif
#ifdef NO_RULE_2
	number = 0;
#endif
#ifdef NO_RULE_3
	was_read_only = 0;
#endif
}

/* LOAD, with found and degraded: sets newest, or NOBODY if there is none. */
inline find_newest() {
	newest = NOBODY;
	leg = 0;
	do
	:: leg == N -> break
	:: else ->
		ok = (found & B(leg)) != 0;
		other = 0;
		do
		:: other == N || !ok -> break
		:: else ->
			if
			:: !(found & B(other)) || s_id[other] == s_id[leg]
#ifdef NO_RULE_2
			:: (found & B(other)) && s_number[other] < s_number[leg]
#else
			:: (found & B(other)) && s_id[other] != s_id[leg] && (s_preds[leg] & B(s_id[other]))
#endif
			:: else -> ok = 0
			fi;
			other++
		od;
		if
		:: ok -> newest = leg; break
		:: else
		fi;
		leg++
	od
}

#ifdef NO_RULE_1
#define REFUSE_MISSING	0
#else
#define REFUSE_MISSING	(needed && !degraded)
#endif

/*
 * A leg that the newest superblock and its own one call live, but which has an older
 * one: RECORDs have not reached it. Nothing was acknowledged in between.
 */
#ifdef CATCH_UP_ONE
#define CATCH_UP	(s_id[leg] == s_pred[newest])
#else
#define CATCH_UP	(s_preds[newest] & B(s_id[leg]))
#endif

#define bounded_forced	(!needed || !degraded || forceds < FORCED)

inline load() {
	find_newest();
	/* REFUSE_SPLIT. */
	assert(newest != NOBODY || found == 0 || forced);
	if
	:: newest == NOBODY -> assert(found != ALL || forced)
	:: else ->
		needed = (s_live[newest] & ~found) != 0;
		leg = 0;
		do
		:: leg == N -> break
		:: else ->
			if
			:: (found & B(leg)) && (s_live[newest] & B(leg)) && (s_live[leg] & B(leg)) &&
			   (s_id[leg] == s_id[newest] || CATCH_UP) ->
				live = live | B(leg);
				bits = bits | s_bit[leg]
			:: else
			fi;
			if
			:: (found & B(leg)) && s_id[leg] == s_id[newest] -> record_dirty = record_dirty | s_dirty[leg]
			:: else
			fi;
			leg++
		od;
		if
		:: REFUSE_MISSING || live == 0 || !bounded_forced ->
			assert(found != ALL || forced || !bounded_forced);
			live = 0;
			bits = 0
		:: else ->
			on = 1;
			loads++;
			id = s_id[newest];
			pred = s_pred[newest];
			preds = s_preds[newest];
			recorded = s_live[newest];
			recorded_id = id;
			differ = bits && record_dirty;
#ifdef DIRTY_AFTER_LOAD
			dirty = bits;
#endif
#ifdef NO_RULE_2
			number = s_number[newest];
#endif
			leg = 0;
			do
			:: leg == N -> break
			:: else ->
				base[leg] = s_base[newest * N + leg];
				if
				:: (s_live[newest] & B(leg)) && !(live & B(leg)) -> base[leg] = id
				:: else
				fi;
				leg++
			od;
			if
			:: needed && degraded -> forceds++; unrecorded = 1; forced = 1; forced_at = last_id
			:: else
			fi;
			/*
			 * Somebody has forced a part of the legs, now or before. Where that has
			 * made two histories, nothing is promised when the other one is loaded,
			 * unless this one is there as well, which is a split brain.
			 */
			ok = head == id || (preds & B(head));
			leg = 0;
			do
			:: leg == N || ok -> break
			:: else ->
				assert(!((found & B(leg)) && (s_id[leg] == head || (s_preds[leg] & B(head)))));
				leg++
			od;
			/* Nor is it excused when it is merely an old state of this one. */
			assert(ok || (forced && (id <= forced_at || !(head_preds & B(id)))));
			if
			:: (needed && degraded) || !ok ->
				sector = 0;
				do
				:: sector == SECTORS -> break
				:: else ->
					may[sector] = ANYTHING;
#ifdef CACHE
					may_crashed = ANYTHING;
#endif
					pinned[sector] = NOBODY;
					pinned_value[sector] = 0;
					sector++
				od
			:: else
			fi;
			head = id;
			head_preds = preds
		fi;
		record_dirty = 0
	fi;
	present = (on -> present : 0);
	leg = 0; other = 0; sector = 0; found = 0; newest = 0; ok = 0; needed = 0; degraded = 0
}

inline begin_record() {
	stale = 0;
	record_live = live | rebuilt;
	if
	:: record_live != recorded || id != recorded_id ->
		leg = 0;
		do
		:: leg == N -> break
		:: else ->
			if
			:: (recorded & B(leg)) && !(record_live & B(leg)) -> base[leg] = recorded_id
			:: (record_live & B(leg)) -> base[leg] = 0
			:: else
			fi;
			leg++
		od;
		leg = 0;
		last_id++;
		preds = preds | B(id);
		pred = id;
		id = last_id;
#ifdef NO_RULE_2
		number++;
#endif
	:: else
	fi;
#ifdef NEVER_DIRTY
	record_dirty = 0;
#else
	record_dirty = !cleaning && activated;
#endif
	round = 1;
#ifdef RECORD_PARALLEL
	record_legs = live | rebuilt;
#else
	record_legs = live;
#endif
}

/*
 * A rebuild that is cut short leaves a leg with writes that no other leg may have. So
 * its superblock says that it is a mixture, and all of it will be copied.
 */
#ifdef SET_BIT_NOT_REBUILT
#define BIT_LEGS	0
#else
#define BIT_LEGS	rebuilt
#endif
#ifdef MIXTURE_HAS_BASE
#define REBUILDING_DATA_ID(l)	base[l]
#else
#define REBUILDING_DATA_ID(l)	0
#endif

#ifdef CACHE
#define FLUSHED(l)	stable[l] = data[l]
#else
#define FLUSHED(l)	skip
#endif

/* With PREFLUSH and FUA. */
inline write_superblock(l) {
#ifndef RECORD_WITHOUT_FLUSH
	FLUSHED(l);
#endif
	s_valid[l] = 1;
	s_dirty[l] = record_dirty;
	s_live[l] = record_live;
	s_id[l] = id;
	s_pred[l] = pred;
	s_preds[l] = preds;
	s_base[l * N] = base[0];
	s_base[l * N + 1] = base[1];
	s_base[l * N + 2] = base[2];
#ifdef NO_RULE_2
	s_number[l] = number;
#endif
	s_data_id[l] = ((record_live & B(l)) -> id : REBUILDING_DATA_ID(l))
}

#define can_record	(last_id < IDS || ((live | rebuilt) == recorded && id == recorded_id))

inline read_check(l, s) {
	count = data[l * SECTORS + s];
	printf("READ leg %d sector %d: %d, may %d pinned %d %d\n", l, s, count, may[s], pinned[s],
	       pinned_value[s]);
	assert(may[s] & B(count));
	if
	/*
	 * Not before the superblocks say where it came from, nor while something is on
	 * its way to the leg: COPY writes to the first live leg if its source is dropped.
	 */
	:: unrecorded || stale || round != 0 || (writing != 0 && write_sector == s) ||
	   (copy_legs & B(l + N * s))
	:: else ->
		assert(pinned[s] == NOBODY || pinned_value[s] == count);
		pinned[s] = l;
		pinned_value[s] = count;
		if
		:: (!(live & 1) || data[s] == count) &&
		   (!(live & 2) || data[SECTORS + s] == count) &&
		   (!(live & 4) || data[2 * SECTORS + s] == count) && writing == 0 ->
			may[s] = B(count);
			pinned[s] = NOBODY;
			pinned_value[s] = 0
		:: else
		fi
	fi;
	count = 0
}

/* Whether the bits that are set since then are all that the leg may lack. */
#ifdef NO_RULE_8_BASE
#define by_bitmap(l)	(s_valid[l])
#else
#define by_bitmap(l)	(s_valid[l] && base[l] != 0 && s_data_id[l] >= base[l] && \
			 (s_data_id[l] == base[l] || (preds & B(s_data_id[l]))))
#endif

/* Whether something may be written to the legs. */
#ifdef NO_RULE_3
#define is_marked	(marked || (was_read_only && live == recorded))
#else
#define is_marked	marked
#endif

#define unreadable(l, s)	(bad[l] && s == SECTORS - 1)

active proctype set_of_legs() {
	byte l;

	d_step {
		leg = 0;
		do
		:: leg == N -> break
		:: else ->
			s_valid[leg] = 1;
			s_live[leg] = ALL;
			s_id[leg] = 1;
			s_data_id[leg] = 1;
#ifdef NO_RULE_2
			s_number[leg] = 1;
#endif
			leg++
		od;
		leg = 0;
		do
		:: leg == SECTORS -> break
		:: else ->
			may[leg] = 1;
#ifdef CACHE
			may_crashed = 1;
#endif
			pinned[leg] = NOBODY;
			leg++
		od;
		leg = 0
	}

end:	do
	/* LOAD, with any of the legs. */
	:: atomic { !on && loads < LOADS ->
		if
		:: present = 7 :: present = 1 :: present = 2 :: present = 3
		:: present = 4 :: present = 5 :: present = 6
		fi;
		found = present;
		if
		:: skip
		:: unreadables < UNREADABLE -> unreadables++;
			if
			:: found & 1 -> found = found & ~1
			:: found & 2 -> found = found & ~2
			:: found & 4 -> found = found & ~4
			fi
		fi;
		found = found & ((s_valid[0] -> 1 : 0) | (s_valid[1] -> 2 : 0) | (s_valid[2] -> 4 : 0));
		if
		:: degraded = 0
		:: FORCED > 0 -> degraded = 1
		fi;
#ifdef NO_RULE_3
		if
		:: was_read_only = 0
		:: was_read_only = 1
		fi;
#endif
		d_step {
			load();
			STEP(LOAD, present);
			printf("  leg 0: id %d live %d dirty %d bit %d data %d %d\n", LEG_STATE(0));
			printf("  leg 1: id %d live %d dirty %d bit %d data %d %d\n", LEG_STATE(1));
			printf("  leg 2: id %d live %d dirty %d bit %d data %d %d\n", LEG_STATE(2))
		};
#ifdef NO_RULE_3
		was_read_only = was_read_only && on;
#endif
	}
	/* A leg is replaced by an empty disk. */
	:: atomic { !on && empties < EMPTIES && loads < LOADS ->
		if :: l = 0 :: l = 1 :: l = 2 fi;
		d_step {
			empties++;
			STEP(EMPTY_DISK, l);
			s_valid[l] = 0; s_dirty[l] = 0; s_live[l] = 0; s_id[l] = 0; s_pred[l] = 0;
			s_preds[l] = 0; s_data_id[l] = 0; s_bit[l] = 0; bad[l] = 0;
			s_base[l * N] = 0; s_base[l * N + 1] = 0; s_base[l * N + 2] = 0;
			data[l * SECTORS] = GARBAGE;
#ifdef CACHE
			stable[l] = GARBAGE;
#endif
			data[l * SECTORS + SECTORS - 1] = GARBAGE;
#ifdef NO_RULE_2
			s_number[l] = 0;
#endif
			/* Which is not among what a set does for a person's data. */
			forced = 1;
			l = 0
		}
	}
	/* CRASH. */
#ifdef CACHE
	:: atomic { on ->
		l = 0;
		do
		:: l == N -> break
		:: l < N && data[l] == stable[l] -> l++
		:: l < N && data[l] != stable[l] -> stable[l] = data[l]; l++
		:: l < N && data[l] != stable[l] -> data[l] = stable[l]; l++
		od;
		d_step {
			l = 0;
			STEP(CRASH, 0);
			forget();
			may[0] = may_crashed;
			pinned[0] = NOBODY;
			pinned_value[0] = 0
		}
	}
#else
	:: d_step { on -> STEP(CRASH, 0); forget() }
#endif
	/* ACTIVATE. */
	:: d_step { on && !activated && !cleaning && round == 0 ->
		activated = 1;
		stale = 1;
		STEP(ACTIVATE, 0)
	}
	/* RECORD: first the legs that are live, then those that are to be. */
	:: d_step { on && stale && round == 0 && activated && can_record ->
		begin_record();
		STEP(RECORD, record_live)
	}
	:: atomic { round != 0 && record_legs != 0 ->
		if
		:: record_legs & 1 -> l = 0
		:: record_legs & 2 -> l = 1
		:: record_legs & 4 -> l = 2
		fi;
		record_legs = record_legs & ~B(l);
		if
		:: d_step { write_superblock(l); STEP(RECORD_REACHES, l) }
		:: faults < FAULTS -> faults++;
			if
			:: d_step { write_superblock(l) }
			:: skip
			fi;
			d_step {
				drop(l);
				STEP(RECORD_FAILS, l);
				if
				:: !ok ->
					/* No superblock can be written: what waits for it fails. */
					record_legs = 0;
					round = 0;
					stale = 1;
					if
					:: writing >= HELD -> writing = 0; write_sector = 0; write_value = 0
					:: else
					fi
				:: else
				fi;
				ok = 0
			}
		fi;
		l = 0
	}
	:: d_step { round != 0 && record_legs == 0 && stale ->
		round = 0;
		record_live = 0;
		record_dirty = 0
	}
	:: d_step { round == 1 && record_legs == 0 && !stale ->
		live = live | rebuilt;
		recorded = record_live;
		rebuilding = rebuilding & ~rebuilt;
		round = 2;
#ifndef RECORD_PARALLEL
		record_legs = rebuilt;
#endif
		if :: rebuilt -> EVENT :: else fi;
		rebuilt = 0
	}
	:: atomic { round == 2 && record_legs == 0 && !stale ->
		d_step {
			recorded_id = id;
			head = id;
			head_preds = preds;
#ifdef NEVER_DIRTY
			marked = !cleaning && activated;
#else
			marked = record_dirty;
#endif
			round = 0;
			record_live = 0;
			record_dirty = 0;
			unrecorded = 0;
			STEP(RECORD_COMPLETE, recorded)
		};
		if
		:: cleaning -> assert(!untold); d_step { forget() }
		:: cleaning -> d_step { cleaning = 0; activated = 0 }
		:: else
		fi
	}
	/* SET_BIT. */
	:: d_step { on && is_marked && writes < WRITES && !dirty && bit_step == 0 &&
		writing == 0 && !cleaning ->
		bit_step = SET;
		STEP(SET_BIT, 0);
		bits = 1;
		bit_legs = live | BIT_LEGS
	}
	/* CLEAR_BITS. */
#ifdef NO_RULE_8_ALL_LEGS
	:: d_step { on && marked && bits && bit_step == 0 && !differ && !todo && writing == 0 &&
		round == 0 && !stale && !copying && !rebuilding ->
#else
	:: d_step { on && marked && live == ALL && bits && bit_step == 0 && !differ &&
		writing == 0 && round == 0 && !stale && !copying ->
#endif
		bit_step = CLEAR;
		STEP(CLEAR_BITS, 0);
		bits = 0;
		dirty = 0;
		bit_legs = live;
#if defined(CACHE) && !defined(CLEAR_BITS_WITHOUT_FLUSH)
		bit_step = FLUSH
#endif
	}
	:: atomic { bit_step != 0 && bit_legs != 0 ->
		if
		:: bit_legs & 1 -> l = 0
		:: bit_legs & 2 -> l = 1
		:: bit_legs & 4 -> l = 2
		fi;
		bit_legs = bit_legs & ~B(l);
		if
		:: bit_step == FLUSH -> FLUSHED(l)
		:: bit_step != FLUSH -> s_bit[l] = (bit_step == SET); STEP(BIT_REACHES, l)
		:: faults < FAULTS -> faults++;
			if
			:: bit_step == FLUSH -> FLUSHED(l)
			:: bit_step != FLUSH -> s_bit[l] = (bit_step == SET)
			:: skip
			fi;
			d_step {
				drop(l);
				if
				:: !ok -> bit_step = 0; bit_legs = 0
				:: else
				fi;
				ok = 0
			}
		fi;
		l = 0
	}
	/* A leg that has failed the flush may lack what the bit stands for. */
	:: d_step { bit_step == FLUSH && bit_legs == 0 ->
		if
		:: live == ALL -> bit_step = CLEAR; bit_legs = live
		:: else -> bit_step = 0; bits = 1
		fi
	}
	:: d_step { bit_step != 0 && bit_step != FLUSH && bit_legs == 0 ->
		dirty = (bit_step == SET);
		bit_step = 0
	}
	/* WRITE. */
	:: atomic { on && writes < WRITES && writing == 0 && !copying && bit_step == 0 &&
		!cleaning && is_marked &&
#ifdef NO_RULE_8_BIT_FIRST
		1 ->
#else
		dirty ->
#endif
		writes++;
		write_value = writes;
#if SECTORS == 2
		if :: write_sector = 0 :: write_sector = 1 fi;
#endif
		if
		:: skip
		:: refusals < REFUSALS -> refusals++;
			if
			:: write_refused = 1 :: write_refused = 2 :: write_refused = 4
			fi
		fi;
#ifdef CACHE
		if :: write_fua = 0 :: write_fua = 1 fi;
#endif
		d_step {
#ifdef CACHE
			may_crashed = may_crashed | B(write_value);
#endif
			writing = SENT;
			STEP(WRITE, write_value);
#ifdef WRITE_NOT_TO_REBUILDING
			write_legs = live;
#else
			write_legs = live | rebuilding;
#endif
			write_refused = write_refused & write_legs;
			write_legs = write_legs & ~write_refused;
			may[write_sector] = may[write_sector] | B(write_value);
			pinned[write_sector] = NOBODY;
			pinned_value[write_sector] = 0
		}
	}
	:: atomic { writing == SENT && write_legs != 0 ->
		if
		:: write_legs & 1 -> l = 0
		:: write_legs & 2 -> l = 1
		:: write_legs & 4 -> l = 2
		fi;
		write_legs = write_legs & ~B(l);
		if
		:: data[l * SECTORS + write_sector] = write_value; STEP(WRITE_REACHES, l);
#ifdef CACHE
			if :: write_fua -> FLUSHED(l) :: else fi;
#endif
			if :: unreadable(l, write_sector) -> bad[l] = 0 :: else fi
		:: faults < FAULTS -> faults++; write_failed = write_failed | B(l); STEP(WRITE_FAILS, l);
			if
			:: data[l * SECTORS + write_sector] = write_value;
				if :: unreadable(l, write_sector) -> bad[l] = 0 :: else fi
			:: skip
			fi
		fi;
		l = 0
	}
	/* All have answered: DROP those that failed, unless they are all that is live. */
	:: d_step { writing == SENT && write_legs == 0 ->
		failed = write_failed;
#ifdef NO_RULE_4_DROP
		failed = failed | write_refused;
#endif
		at_fault = (failed & ~write_failed) == 0;
		writing = HELD;
		if
		:: (live & ~(write_failed | write_refused)) == 0 ->
			/* No live leg is known to have it. */
			failed = failed & ~live;
			writing = HELD_TO_FAIL
		:: write_refused != 0 -> writing = HELD_TO_FAIL
		:: else
		fi;
		if
		:: writing == HELD_TO_FAIL ->
#ifdef NO_RULE_4_DIFFER
			skip
#else
			differ = 1;
#ifndef DIFFER_NOT_REBUILDING
			todo = todo | rebuilding;
			if
			:: rebuilt -> rebuilt = 0; stale = 1
			:: else
			fi
#endif
#endif
		:: else
		fi;
		leg = 0;
		do
		:: leg == N -> break
		:: else ->
			if
			:: (failed & B(leg)) && ((live | rebuilding) & B(leg)) -> assert(at_fault); drop(leg)
			:: else
			fi;
			leg++
		od;
		leg = 0; ok = 0; at_fault = 0; failed = 0;
		write_failed = 0;
		write_refused = 0
	}
	/* ACK, RELEASE. */
#ifdef NO_HOLD
	:: d_step { writing == HELD ->
#else
	:: d_step { writing == HELD && !stale && round == 0 ->
#endif
		assert(!untold);
		STEP(ACK, write_value);
		may[write_sector] = B(write_value);
#ifdef CACHE
		if :: write_fua -> may_crashed = B(write_value) :: else fi;
		write_fua = 0;
#endif
		writing = 0;
		write_sector = 0;
		write_value = 0
	}
	:: d_step { writing == HELD_TO_FAIL && !stale && round == 0 ->
		writing = 0;
		write_sector = 0;
		write_value = 0
#ifdef CACHE
		;
		write_fua = 0
#endif
	}
	/* READ: any live leg; while legs may differ, the first that can be read. */
	:: atomic { on ->
		if
		:: sector = 0
#if SECTORS == 2
		:: sector = 1
#endif
		fi;
		if
		:: differ ->
			if
			:: (live & 1) && !unreadable(0, sector) -> l = 0
			:: else ->
				if
				:: (live & 2) && !unreadable(1, sector) -> l = 1
				:: else ->
					if
					:: (live & 4) && !unreadable(2, sector) -> l = 2
					:: else -> l = NOBODY
					fi
				fi
			fi
		:: !differ ->
			if
			:: (live & 1) && !unreadable(0, sector) -> l = 0
			:: (live & 2) && !unreadable(1, sector) -> l = 1
			:: (live & 4) && !unreadable(2, sector) -> l = 2
			:: else -> l = NOBODY
			fi
		fi;
		d_step {
			if
			:: l != NOBODY -> read_check(l, sector)
			:: else
			fi;
			l = 0;
			sector = 0
		}
	}
	/* REBUILD_BEGIN: a superblock by which the leg cannot be taken for a live one. */
	:: atomic { on && marked && !stale && round == 0 && rebuilds < REBUILDS &&
		bit_step == 0 && !cleaning && (present & ~(live | rebuilding)) ->
		if
		:: (present & ~(live | rebuilding)) & 1 -> l = 0
		:: (present & ~(live | rebuilding)) & 2 -> l = 1
		:: (present & ~(live | rebuilding)) & 4 -> l = 2
		fi;
		rebuilds++;
		STEP(REBUILD_BEGIN, l);
		if
		:: d_step {
			if
			:: by_bitmap(l) ->
				if
				:: bits || s_bit[l] -> todo = todo | B(l)
				:: else
				fi
			:: else -> todo = todo | B(l); base[l] = 0
			fi;
			record_live = recorded;
			record_dirty = 1;
			write_superblock(l);
			record_live = 0;
			record_dirty = 0;
			rebuilding = rebuilding | B(l);
			EVENT
		}
		:: faults < FAULTS -> faults++;
			if
			:: d_step {
				if
				:: by_bitmap(l)
				:: else -> base[l] = 0
				fi;
				record_live = recorded;
				record_dirty = 1;
				write_superblock(l);
				record_live = 0;
				record_dirty = 0
			}
			:: skip
			fi
		fi;
		l = 0
	}
	/* COPY. */
	:: d_step { on && marked && !copying && writing == 0 && bit_step == 0 &&
		(differ || (todo & rebuilding)) ->
		copying = 1;
		STEP(COPY, todo);
		copy_legs = 0;
		sector = 0;
		do
		:: sector == SECTORS -> break
		:: else ->
			leg = first_of(live);
#ifdef NO_RULE_5
			/* All of it from the first leg that can read all of it. */
			if
			:: bad[leg] -> leg = first_of((live & ~B(leg)))
			:: else
			fi;
#else
			if
			:: unreadable(leg, sector) -> leg = first_of((live & ~B(leg)))
			:: else
			fi;
#endif
			buffer[sector] = data[leg * SECTORS + sector];
			copy_for = todo & rebuilding;
			other = (differ -> live : 0) | copy_for;
			copy_legs = copy_legs | ((other & ~B(leg)) << (N * sector));
			sector++
		od;
		sector = 0; leg = 0; other = 0
	}
	:: atomic { copying && copy_legs != 0 ->
		if
		:: copy_legs & 1 -> l = 0
		:: copy_legs & 2 -> l = 1
		:: copy_legs & 4 -> l = 2
		:: copy_legs & 8 -> l = 3
		:: copy_legs & 16 -> l = 4
		:: copy_legs & 32 -> l = 5
		fi;
		copy_legs = copy_legs & ~B(l);
		if
		:: data[(l % N) * SECTORS + l / N] = buffer[l / N]; STEP(COPY_REACHES, l);
			if :: unreadable(l % N, l / N) -> bad[l % N] = 0 :: else fi
		:: faults < FAULTS -> faults++;
			if
			:: data[(l % N) * SECTORS + l / N] = buffer[l / N];
				if :: unreadable(l % N, l / N) -> bad[l % N] = 0 :: else fi
			:: skip
			fi;
			d_step {
				l = l % N;
				drop(l);
				if
				:: !ok -> copying = 0; copy_legs = 0; copy_for = 0; buffer[0] = 0; buffer[SECTORS - 1] = 0
				:: else
				fi;
				ok = 0
			}
		fi;
		l = 0
	}
	:: d_step { copying && copy_legs == 0 ->
		copying = 0;
		differ = 0;
		todo = todo & ~copy_for;
		copy_for = 0;
		buffer[0] = 0;
		buffer[SECTORS - 1] = 0
	}
	/* REBUILD_END: the leg gets the bitmap, then it is to be LIVE with a RECORD. */
	:: atomic { on && !copying && (rebuilding & ~(todo | rebuilt)) && round == 0 &&
		bit_step == 0 && !cleaning ->
		if
		:: (rebuilding & ~(todo | rebuilt)) & 1 -> l = 0
		:: (rebuilding & ~(todo | rebuilt)) & 2 -> l = 1
		:: (rebuilding & ~(todo | rebuilt)) & 4 -> l = 2
		fi;
		if
		:: s_bit[l] = bits; rebuilt = rebuilt | B(l); stale = 1; STEP(REBUILD_END, rebuilt)
		:: faults < FAULTS -> faults++;
			if
			:: s_bit[l] = bits
			:: skip
			fi;
			d_step { drop(l); ok = 0 }
		fi;
		l = 0
	}
	/* The message `fail`. */
	:: atomic { on && activated && !cleaning && faults < FAULTS && (live | rebuilding) ->
		if
		:: (live | rebuilding) & 1 -> l = 0
		:: (live | rebuilding) & 2 -> l = 1
		:: (live | rebuilding) & 4 -> l = 2
		fi;
		faults++;
		d_step { drop(l); STEP(FAIL, l); ok = 0; l = 0 }
	}
	/* CLEAN: suspend, or remove. */
	:: d_step { on && marked && !cleaning && writing == 0 && !copying && bit_step == 0 &&
		round == 0 && !stale && !differ ->
		cleaning = 1;
		STEP(CLEAN, 0);
		stale = 1
	}
	/* A sector goes bad. What was read from it, and is nowhere else, is lost. */
#if BAD_SECTORS > 0
	:: atomic { on && bad_sectors < BAD_SECTORS && !copying ->
		if :: l = 0 :: l = 1 :: l = 2 fi;
		d_step {
			bad_sectors++;
			STEP(BAD_SECTOR, l);
			bad[l] = 1;
			if
			:: pinned[SECTORS - 1] == l -> pinned[SECTORS - 1] = NOBODY; pinned_value[SECTORS - 1] = 0
			:: else
			fi;
			l = 0
		}
	}
#endif
	od
}
