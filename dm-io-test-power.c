// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: what is left of acknowledged data after a power cut
 *
 * A small log, built on the library alone, is written to two disks at once:
 * every call has a region on each. The disks write down what arrives, what
 * ends, and when the writer acknowledges a record. Then the power is cut, at
 * every moment that matters, and with everything that the volatile cache may
 * have kept or lost by then; and the log is recovered from either disk on its
 * own. What was acknowledged has to be there, whole and in order, and nothing
 * that was never written.
 *
 * A disk keeps what had ended before a flush was sent, once this flush has
 * ended, and a write with REQ_FUA that has ended. Of all else, it keeps what
 * arrived first, up to any point, and half of the next one; or any part of it.
 *
 * Some writers are wrong on purpose: if those lost nothing, this test would be
 * worth nothing.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

#define BLOCK			SZ_4K
#define BLOCK_SECTORS		(BLOCK >> SECTOR_SHIFT)
#define NUM_LEGS		2
#define MAX_GROUP		4

/* Two blocks that say where the log is, in turn. Records follow, in a ring. */
#define LOG_START		2

/*
 * The log
 */

enum commit {
	COMMIT_BY_FUA,		/* of the head, which is flushed before */
	COMMIT_BY_FLUSH,	/* before and after the head is written */
	COMMIT_BY_RECORD,	/* each of which is written with REQ_FUA */
};

enum mistake {
	NO_MISTAKE,
	NO_FLUSH,		/* before the head is written */
	NO_FUA,
	EARLY_ACK,		/* before it is waited for */
	EARLY_DISCARD,		/* before the head is written */
};

static const struct writer_param {
	const char *name;
	enum commit commit;
	unsigned int num_groups;
	unsigned int group;		/* records */
	unsigned int max_blocks;	/* of a record */
	unsigned int min_blocks;
	unsigned int keep;		/* records that trimming leaves */
	unsigned int log_blocks;
	bool discard;
	bool no_memory;			/* a record is many small bios then */
	bool backwards;
	bool held;			/* no record ends before it has to */
	enum test_disk_end end;
	enum mistake mistake;
} writer_params[] = {
	{ "commit by FUA", COMMIT_BY_FUA, 12, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER },
	{ "commit by FUA, at once", COMMIT_BY_FUA, 12, 3, 3, 1, 6, 32,
	  .end = END_AT_ONCE },
	{ "commit by FUA, any order", COMMIT_BY_FUA, 12, 4, 3, 1, 8, 40,
	  .end = END_IN_HARDIRQ, .backwards = true },
	{ "commit by FUA, discards", COMMIT_BY_FUA, 14, 3, 3, 1, 6, 32,
	  .discard = true, .end = END_IN_WORKER, .backwards = true },
	{ "commit by flush", COMMIT_BY_FLUSH, 12, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER },
	{ "commit by flush, discards", COMMIT_BY_FLUSH, 14, 3, 3, 1, 6, 32,
	  .discard = true, .end = END_IN_SOFTIRQ, .backwards = true },
	{ "commit by record", COMMIT_BY_RECORD, 12, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER },
	{ "commit by record, held", COMMIT_BY_RECORD, 12, 3, 3, 1, 6, 32,
	  .held = true, .backwards = true, .end = END_AT_ONCE },
	{ "commit by record, discards", COMMIT_BY_RECORD, 14, 3, 3, 1, 6, 32,
	  .discard = true, .end = END_IN_WORKER, .backwards = true },
	{ "commit by record, no memory", COMMIT_BY_RECORD, 6, 2, 40, 18, 3, 400,
	  .no_memory = true, .end = END_IN_WORKER },
	{ "commit by FUA, no memory", COMMIT_BY_FUA, 6, 2, 40, 18, 3, 400,
	  .no_memory = true, .discard = true, .end = END_IN_WORKER },
	{ "large records, commit by record", COMMIT_BY_RECORD, 3, 1, 300, 290,
	  1, 1000, .discard = true, .end = END_IN_WORKER },
	{ "large records, commit by FUA", COMMIT_BY_FUA, 3, 1, 300, 290, 1,
	  1000, .discard = true, .end = END_IN_WORKER },

	{ "wrong: no flush before the head", COMMIT_BY_FLUSH, 6, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER, .mistake = NO_FLUSH },
	{ "wrong: no flush with the head", COMMIT_BY_FUA, 6, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER, .mistake = NO_FLUSH },
	{ "wrong: no FUA with the head", COMMIT_BY_FUA, 6, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER, .mistake = NO_FUA },
	{ "wrong: no FUA with a record", COMMIT_BY_RECORD, 6, 3, 3, 1, 6, 32,
	  .end = END_IN_WORKER, .mistake = NO_FUA },
	{ "wrong: acknowledged early", COMMIT_BY_RECORD, 6, 3, 3, 1, 6, 32,
	  .held = true, .end = END_AT_ONCE, .mistake = EARLY_ACK },
	{ "wrong: discarded early", COMMIT_BY_FUA, 14, 3, 3, 1, 6, 32,
	  .discard = true, .end = END_IN_WORKER, .mistake = EARLY_DISCARD },
};

static void describe_writer(const struct writer_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(writer, writer_params, describe_writer);

#define HEAD_MAGIC	0x68656164
#define RECORD_MAGIC	0x7265636f

/* Both start like this, and the sum is that of all that follows it. */
struct header {
	u64 sum;
	u32 magic;
	u32 num_blocks;
	u64 number;		/* of the record, or of the head */
};

/* Where the records are that have not been trimmed. */
struct head {
	struct header header;
	u64 tail;		/* number of the first record */
	u64 tail_block;
	u64 end;		/* number behind the last that is committed */
};

static __no_sanitize_address u64 sum_of(const struct header *header)
{
	const u64 *word = &header->sum + 1;
	const u64 *end = (const void *)header + header->num_blocks * BLOCK;
	u64 sum = 0;

	while (word < end)
		sum = (sum ^ *word++) * 0x9e3779b97f4a7c15ULL + (sum >> 29);
	return sum;
}

static bool is_valid(const struct header *header, u32 magic, u32 max_blocks)
{
	return header->magic == magic && header->num_blocks &&
	       header->num_blocks <= max_blocks &&
	       header->sum == sum_of(header);
}

/* Sizes and contents of records follow from their numbers. */
static unsigned int blocks_of(const struct writer_param *param, u64 number)
{
	return param->min_blocks + (u32)number * 7 %
	       (param->max_blocks - param->min_blocks + 1);
}

static void make_record(void *data, const struct writer_param *param,
			u64 number)
{
	unsigned int num_blocks = blocks_of(param, number);
	struct header *header = data;

	memcpy(data, bytes_of(number), num_blocks * BLOCK);
	header->magic = RECORD_MAGIC;
	header->num_blocks = num_blocks;
	header->number = number;
	header->sum = sum_of(header);
}

/* A record that does not fit before the end of the ring goes to its start. */
static unsigned int place_record(const struct writer_param *param,
				 unsigned int block, unsigned int num_blocks)
{
	return block + num_blocks > LOG_START + param->log_blocks ? LOG_START :
								   block;
}

/*
 * The writer
 */

struct writer {
	const struct writer_param *param;
	struct test_disk *legs[NUM_LEGS];
	struct io *records[MAX_GROUP];	/* calls in flight at once */
	struct io *head_io;
	struct io *other_io;		/* flushes and discards */
	struct head *head;		/* in the buffer of its call */

	u64 number;			/* of the next record */
	unsigned int block;		/* where it goes */
	u64 acknowledged;		/* the last one */
	unsigned int num_heads;
	unsigned int num_failed;	/* calls */
};

#define MARK(tail, acknowledged)	((tail) << 32 | (acknowledged))
#define MARK_TAIL(mark)			((mark) >> 32)
#define MARK_ACKNOWLEDGED(mark)		((u32)(mark))

/* From now on, these records and no others have to be there. */
static void promise(struct writer *writer, u64 tail, u64 acknowledged)
{
	unsigned int leg;

	for (leg = 0; leg < NUM_LEGS; leg++)
		test_disk_mark(writer->legs[leg], MARK(tail, acknowledged));
}

static void set_legs(struct writer *writer, struct io *io, unsigned int block,
		     unsigned int num_blocks)
{
	unsigned int leg;

	for (leg = 0; leg < NUM_LEGS; leg++)
		add_region(io, writer->legs[leg]->bdev,
			   (sector_t)block * BLOCK_SECTORS,
			   (sector_t)num_blocks * BLOCK_SECTORS);
}

static void start_call(struct io *io, blk_opf_t opf)
{
	io->rw = DM_IO_OPF(opf);
	io->error = 0;
	reinit_completion(&io->ended);
	make_call(io);
}

static void end_call(struct writer *writer, struct io *io)
{
	if (is_async(io->call) && !io->ret) {
		wait_for_completion(&io->ended);
		io->wanted_ends++;
	}
	if (io->ret || io->error)
		writer->num_failed++;
	io->num_regions = 0;
}

static void make_other_call(struct writer *writer, blk_opf_t opf)
{
	writer->other_io->call = writer->num_heads % NUM_CALLS;
	start_call(writer->other_io, opf);
	end_call(writer, writer->other_io);
}

static void flush_legs(struct writer *writer)
{
	set_legs(writer, writer->other_io, 0, 0);
	make_other_call(writer, REQ_OP_FLUSH);
}

static void write_head(struct writer *writer, blk_opf_t flags)
{
	struct head *head = writer->head;
	struct io *io = writer->head_io;

	head->header.magic = HEAD_MAGIC;
	head->header.num_blocks = 1;
	head->header.number = ++writer->num_heads;
	head->end = writer->number;
	head->header.sum = sum_of(&head->header);

	io->call = writer->num_heads % NUM_CALLS;
	set_legs(writer, io, writer->num_heads % 2, 1);
	start_call(io, REQ_OP_WRITE | flags);
	end_call(writer, io);
}

static void commit_head(struct writer *writer)
{
	enum mistake mistake = writer->param->mistake;

	if (writer->param->commit == COMMIT_BY_FLUSH) {
		if (mistake != NO_FLUSH)
			flush_legs(writer);
		write_head(writer, 0);
		flush_legs(writer);
	} else {
		write_head(writer, (mistake == NO_FLUSH ? 0 : REQ_PREFLUSH) |
			   (mistake == NO_FUA ? 0 : REQ_FUA));
	}
}

static void start_record(struct writer *writer, unsigned int nr)
{
	/* Some of them have tables that the library makes, some their own. */
	static const enum call async_calls[] = {
		ASYNC_PAGES, ASYNC_VM, ASYNC_ARGS, ASYNC_BVEC, ASYNC_BIO
	};
	const struct writer_param *param = writer->param;
	unsigned int num_blocks = blocks_of(param, writer->number);
	bool fua = param->commit == COMMIT_BY_RECORD &&
		   param->mistake != NO_FUA;
	struct io *io = writer->records[nr];

	writer->block = place_record(param, writer->block, num_blocks);
	make_record(io->data, param, writer->number);
	io->call = async_calls[(u32)writer->number %
			       (param->min_blocks > 1 ? 3 : 5)];
	set_legs(writer, io, writer->block, num_blocks);
	writer->block += num_blocks;
	writer->number++;
	start_call(io, REQ_OP_WRITE | (fua ? REQ_FUA : 0));
}

/* Let what arrives wait, or let it end. */
static void hold_legs(struct writer *writer, bool hold)
{
	unsigned int leg;

	if (!writer->param->held)
		return;
	for (leg = 0; leg < NUM_LEGS; leg++) {
		writer->legs[leg]->end = hold ? END_WHEN_TOLD :
						writer->param->end;
		if (!hold)
			test_disk_release(writer->legs[leg]);
	}
}

/* A record that commits itself is acknowledged as soon as its call ends. */
static void acknowledge_ended(struct writer *writer, u64 first)
{
	unsigned int i;

	if (writer->param->commit != COMMIT_BY_RECORD)
		return;
	for (i = 0; i < writer->param->group; i++) {
		if (!completion_done(&writer->records[i]->ended) &&
		    writer->param->mistake != EARLY_ACK)
			break;
		promise(writer, writer->head->tail, first + i);
	}
}

static void write_group(struct writer *writer)
{
	u64 first = writer->number;
	unsigned int i;

	hold_legs(writer, true);
	for (i = 0; i < writer->param->group; i++)
		start_record(writer, i);
	acknowledge_ended(writer, first);
	hold_legs(writer, false);
	for (i = 0; i < writer->param->group; i++)
		end_call(writer, writer->records[i]);
}

/* What lies between two blocks of the ring is trimmed. */
static void discard_between(struct writer *writer, unsigned int from,
			    unsigned int to)
{
	unsigned int end = LOG_START + writer->param->log_blocks;

	if (!writer->param->discard || from == to)
		return;
	if (from < to) {
		set_legs(writer, writer->other_io, from, to - from);
	} else {
		if (from < end)
			set_legs(writer, writer->other_io, from, end - from);
		if (to > LOG_START)
			set_legs(writer, writer->other_io, LOG_START,
				 to - LOG_START);
	}
	make_other_call(writer, REQ_OP_DISCARD);
}

/* The tail goes on until no more than so many records are left. */
static void move_tail(struct writer *writer)
{
	const struct writer_param *param = writer->param;
	struct head *head = writer->head;

	while (writer->number - head->tail > param->keep) {
		head->tail_block += blocks_of(param, head->tail);
		head->tail++;
		head->tail_block = place_record(param, head->tail_block,
						blocks_of(param, head->tail));
	}
}

static void commit_group(struct writer *writer)
{
	const struct writer_param *param = writer->param;
	unsigned int from = writer->head->tail_block;
	u64 acknowledged = writer->number - 1;

	if (param->commit == COMMIT_BY_RECORD) {
		promise(writer, writer->head->tail, acknowledged);
		writer->acknowledged = acknowledged;
	}
	move_tail(writer);
	promise(writer, writer->head->tail, writer->acknowledged);
	if (param->mistake == EARLY_DISCARD)
		discard_between(writer, from, writer->head->tail_block);
	if (param->commit != COMMIT_BY_RECORD ||
	    from != writer->head->tail_block)
		commit_head(writer);
	promise(writer, writer->head->tail, acknowledged);
	writer->acknowledged = acknowledged;
	if (param->mistake != EARLY_DISCARD)
		discard_between(writer, from, writer->head->tail_block);
}

static void write_log(void *data)
{
	struct writer *writer = data;
	unsigned int group;

	writer->number = 1;
	writer->block = LOG_START;
	writer->head->tail = 1;
	writer->head->tail_block = LOG_START;
	write_head(writer, REQ_PREFLUSH | REQ_FUA);
	for (group = 0; group < writer->param->num_groups; group++) {
		write_group(writer);
		commit_group(writer);
	}
}

/*
 * Recovery, on what is left of a leg
 */

struct recovery {
	const struct writer_param *param;
	struct io *io;			/* reads into memory */
	struct head heads[2];
	u64 first, last;		/* records */
	bool lost;			/* what the head says was committed */
	bool foreign;			/* what was never written */
	unsigned int num_failed;
	void *expected;			/* a record as it should be */
};

static void read_blocks(struct recovery *recovery, unsigned int block,
			unsigned int num_blocks)
{
	struct io *io = recovery->io;

	io->call = io->call == SYNC_VM ? SYNC_BVEC : SYNC_VM;
	io->regions[0].sector = (sector_t)block * BLOCK_SECTORS;
	io->regions[0].count = (sector_t)num_blocks * BLOCK_SECTORS;
	make_call(io);
	if (io->ret)
		recovery->num_failed++;
}

/* Returns its length in blocks, or 0. */
static unsigned int read_record(struct recovery *recovery, unsigned int block,
				u64 number)
{
	const struct writer_param *param = recovery->param;
	unsigned int end = LOG_START + param->log_blocks, num_blocks;
	const struct header *header = recovery->io->data;

	if (block >= end)
		return 0;
	read_blocks(recovery, block, 1);
	num_blocks = header->num_blocks;
	if (header->magic != RECORD_MAGIC || header->number != number ||
	    !num_blocks || num_blocks > min(param->max_blocks, end - block))
		return 0;
	if (num_blocks > 1)
		read_blocks(recovery, block, num_blocks);
	if (!is_valid(header, RECORD_MAGIC, param->max_blocks))
		return 0;

	make_record(recovery->expected, param, number);
	if (num_blocks != blocks_of(param, number) ||
	    !equal_bytes(recovery->expected, recovery->io->data,
			 num_blocks * BLOCK))
		recovery->foreign = true;
	return num_blocks;
}

static const struct head *read_heads(struct recovery *recovery)
{
	const struct head *best = NULL;
	unsigned int i;

	read_blocks(recovery, 0, 2);
	for (i = 0; i < 2; i++) {
		const struct head *head = recovery->io->data + i * BLOCK;

		if (!is_valid(&head->header, HEAD_MAGIC, 1))
			continue;
		recovery->heads[i] = *head;
		if (!best || head->header.number > best->header.number)
			best = &recovery->heads[i];
	}
	return best;
}

/* Where records commit themselves, there may be more than the head knows of. */
static void recover_log(void *data)
{
	struct recovery *recovery = data;
	const struct head *head = read_heads(recovery);
	unsigned int block, num_blocks;
	u64 number;

	recovery->first = 1;
	recovery->last = 0;
	recovery->lost = false;
	recovery->foreign = false;
	if (!head)
		return;
	block = head->tail_block;
	for (number = head->tail;
	     number < head->end || recovery->param->commit == COMMIT_BY_RECORD;
	     number++) {
		num_blocks = read_record(recovery, block, number);
		if (!num_blocks && block != LOG_START) {
			block = LOG_START;
			num_blocks = read_record(recovery, block, number);
		}
		if (!num_blocks)
			break;
		block += num_blocks;
	}
	recovery->first = head->tail;
	recovery->last = number - 1;
	recovery->lost = number < head->end;
}

/*
 * The power cut
 */

struct replay {
	const struct writer_param *param;
	const struct test_log *log;
	struct test_disk *image;
	u8 *base;		/* what is on the image for sure, and no more */
	unsigned int num_base;	/* events that are in it */
	unsigned int *ends;	/* of each event, the index of its end */
	bool *kept;		/* each event: it is on the image for sure */
	bool *chosen;		/* of those that may be */
	struct recovery *recovery;
	struct job *job;
	struct rnd_state random;

	unsigned int num_images;
	unsigned int num_bad;
};

static bool changes_disk(const struct test_event *event)
{
	return event->kind == EVENT_WRITE || event->kind == EVENT_DISCARD;
}

static bool flushes(const struct test_event *event)
{
	return event->kind == EVENT_FLUSH || event->preflush;
}

/* Does a cut right before this one leave what no later cut does? */
static bool is_worth_a_cut(const struct replay *replay, unsigned int cut)
{
	const struct test_event *event;

	if (cut == replay->log->num)
		return true;
	event = &replay->log->events[cut];
	if (event->kind != EVENT_END)
		return false;
	event = &replay->log->events[event->of];
	return event->fua || flushes(event);
}

static void find_ends(struct replay *replay)
{
	const struct test_log *log = replay->log;
	unsigned int i;

	for (i = 0; i < log->num; i++)
		replay->ends[i] = UINT_MAX;
	for (i = 0; i < log->num; i++)
		if (log->events[i].kind == EVENT_END)
			replay->ends[log->events[i].of] = i;
}

/* What is sure at one cut is so at every later one. */
static void find_kept(struct replay *replay, unsigned int cut)
{
	const struct test_log *log = replay->log;
	unsigned int flushed = 0, i;

	/* The last flush that has ended covers what had ended when it came. */
	for (i = 0; i < cut; i++)
		if (flushes(&log->events[i]) && replay->ends[i] < cut)
			flushed = i;
	for (i = 0; i < cut; i++) {
		const struct test_event *event = &log->events[i];

		if (changes_disk(event) &&
		    (replay->ends[i] < flushed ||
		     (event->fua && replay->ends[i] < cut)))
			replay->kept[i] = true;
	}
}

static void apply(u8 *data, const struct test_event *event, unsigned int bytes)
{
	data += event->sector << SECTOR_SHIFT;
	if (event->kind == EVENT_DISCARD)
		memset(data, TEST_DISK_DISCARDED, bytes);
	else
		memcpy(data, event->data, bytes);
}

/* The base has all events up to the first that may be missing. */
static void extend_base(struct replay *replay, unsigned int cut)
{
	const struct test_log *log = replay->log;

	for (; replay->num_base < cut; replay->num_base++) {
		const struct test_event *event = &log->events[replay->num_base];

		if (!changes_disk(event))
			continue;
		if (!replay->kept[replay->num_base])
			break;
		apply(replay->base, event, event->bytes);
		apply(replay->image->data, event, event->bytes);
	}
}

static void restore_image(struct replay *replay, unsigned int cut)
{
	unsigned int i;

	for (i = replay->num_base; i < cut; i++) {
		const struct test_event *event = &replay->log->events[i];
		size_t at = event->sector << SECTOR_SHIFT;

		if (changes_disk(event))
			memcpy(replay->image->data + at, replay->base + at,
			       event->bytes);
	}
}

static u64 last_promise(const struct replay *replay, unsigned int cut)
{
	while (cut--)
		if (replay->log->events[cut].kind == EVENT_MARK)
			return replay->log->events[cut].mark;
	return MARK(1ULL, 0ULL);
}

/* With the image as it is now. */
static void check_image(struct kunit *test, struct replay *replay,
			unsigned int cut, const char *what, unsigned int num)
{
	struct recovery *recovery = replay->recovery;
	u64 mark = last_promise(replay, cut);
	bool good;

	restart_job(replay->job, recover_log, recovery);
	finish_job(test, replay->job, "recovery");
	replay->num_images++;
	good = !recovery->lost && !recovery->foreign &&
	       recovery->first <= MARK_TAIL(mark) &&
	       recovery->last >= MARK_ACKNOWLEDGED(mark);
	if (good)
		return;
	replay->num_bad++;
	if (replay->param->mistake == NO_MISTAKE && replay->num_bad <= 3)
		KUNIT_FAIL(test, "cut at event %u, %s %u: %s, records %llu to %llu for %llu to %u",
			   cut, what, num,
			   recovery->foreign ? "never written" :
			   recovery->lost ? "committed ones missing" :
					    "acknowledged ones missing",
			   recovery->first, recovery->last, MARK_TAIL(mark),
			   MARK_ACKNOWLEDGED(mark));
}

/* The first @num of what may be missing are there, and half of the next. */
static void check_prefix(struct kunit *test, struct replay *replay,
			 unsigned int cut, unsigned int num, bool half)
{
	unsigned int seen = 0, i;

	for (i = replay->num_base; i < cut; i++) {
		const struct test_event *event = &replay->log->events[i];

		if (!changes_disk(event))
			continue;
		if (replay->kept[i] || seen < num)
			apply(replay->image->data, event, event->bytes);
		else if (half && seen == num)
			apply(replay->image->data, event,
			      round_down(event->bytes / 2, SECTOR_SIZE));
		if (!replay->kept[i])
			seen++;
	}
	check_image(test, replay, cut, half ? "in the midst of write" :
		    "behind write", num);
	restore_image(replay, cut);
}

/*
 * A cache need not be written back in order. But a write that has to be flushed
 * before can only be there if what it has to wait for is.
 */
static void check_any_part(struct kunit *test, struct replay *replay,
			   unsigned int cut)
{
	u32 bits = prandom_u32_state(&replay->random), seen = 0;
	unsigned int flushed = 0, i;

	for (i = replay->num_base; i < cut; i++) {
		const struct test_event *event = &replay->log->events[i];

		replay->chosen[i] = changes_disk(event) &&
				    (replay->kept[i] ||
				     bits & BIT(seen++ % 32));
		if (replay->chosen[i] && event->preflush)
			flushed = i;
	}
	for (i = replay->num_base; i < cut; i++) {
		const struct test_event *event = &replay->log->events[i];

		if (replay->chosen[i] ||
		    (changes_disk(event) && replay->ends[i] < flushed))
			apply(replay->image->data, event, event->bytes);
	}
	check_image(test, replay, cut, "with writes of the set", bits);
	restore_image(replay, cut);
}

static void check_cut(struct kunit *test, struct replay *replay,
		      unsigned int cut)
{
	unsigned int num_open = 0, i;

	find_kept(replay, cut);
	extend_base(replay, cut);
	for (i = replay->num_base; i < cut; i++)
		if (changes_disk(&replay->log->events[i]) && !replay->kept[i])
			num_open++;
	for (i = 0; i <= num_open; i++) {
		check_prefix(test, replay, cut, i, false);
		if (i < num_open)
			check_prefix(test, replay, cut, i, true);
	}
	if (num_open > 1) {
		check_any_part(test, replay, cut);
		check_any_part(test, replay, cut);
	}
}

/*
 * The test
 */

static sector_t sectors_of(const struct writer_param *param)
{
	return (sector_t)(LOG_START + param->log_blocks) * BLOCK_SECTORS;
}

static void destroy_log(void *data)
{
	test_log_destroy(data);
}

static struct test_disk *new_leg(struct kunit *test,
				 const struct writer_param *param)
{
	unsigned int num_blocks = 2 * param->num_groups *
				  (param->group * param->max_blocks + 1);
	struct test_log *log = test_log_create(8192,
					       (size_t)num_blocks * BLOCK);
	struct test_disk *disk;

	KUNIT_ASSERT_NOT_NULL(test, log);
	defer(test, destroy_log, log);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = sectors_of(param),
		.discard_sectors = 2 * param->max_blocks * BLOCK_SECTORS,
		.discard_granularity = BLOCK,
	});
	disk->log = log;
	disk->end = param->end;
	disk->backwards = param->backwards;
	return disk;
}

static struct writer *new_writer(struct kunit *test,
				 const struct writer_param *param)
{
	struct writer *writer = test_alloc(test, sizeof(*writer));
	struct buffer *head = new_buffer(test, BLOCK, 0);
	unsigned int i;

	writer->param = param;
	for (i = 0; i < NUM_LEGS; i++)
		writer->legs[i] = new_leg(test, param);
	for (i = 0; i < param->group; i++)
		writer->records[i] =
			new_io(test, ASYNC_PAGES, WRITE,
			       new_buffer(test, param->max_blocks * BLOCK, 0));
	writer->head_io = new_io(test, SYNC_VM, WRITE, head);
	writer->other_io = new_io(test, SYNC_VM, WRITE, NULL);
	writer->head = (struct head *)head->data;
	memset(writer->head, 0, BLOCK);
	return writer;
}

static struct replay *new_replay(struct kunit *test,
				 const struct writer_param *param,
				 const struct test_log *log)
{
	struct replay *replay = test_alloc(test, sizeof(*replay));
	struct recovery *recovery = test_alloc(test, sizeof(*recovery));
	size_t record_bytes = max(param->max_blocks, 2U) * BLOCK;

	replay->param = param;
	replay->log = log;
	replay->image = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = sectors_of(param),
	});
	replay->base = test_alloc(test, sectors_of(param) << SECTOR_SHIFT);
	memset(replay->base, TEST_DISK_FILLER,
	       sectors_of(param) << SECTOR_SHIFT);
	replay->ends = test_alloc(test, log->num * sizeof(*replay->ends));
	replay->kept = test_alloc(test, log->num * sizeof(*replay->kept));
	replay->chosen = test_alloc(test, log->num * sizeof(*replay->chosen));
	replay->job = test_alloc(test, sizeof(*replay->job));
	prandom_seed_state(&replay->random, 1);
	find_ends(replay);

	recovery->param = param;
	recovery->expected = test_alloc(test, record_bytes);
	recovery->io = new_io(test, SYNC_VM, READ,
			      new_buffer(test, record_bytes, 0));
	add_region(recovery->io, replay->image->bdev, 0, 0);
	replay->recovery = recovery;
	return replay;
}

/* Is there in the log what it takes to lose something? */
static void check_log(struct kunit *test, const struct writer_param *param,
		      const struct test_log *log)
{
	unsigned int num_bios = 0, num_fua = 0, num_flushes = 0, num_marks = 0;
	unsigned int num_discards = 0, i;

	KUNIT_ASSERT_FALSE(test, log->full);
	for (i = 0; i < log->num; i++) {
		const struct test_event *event = &log->events[i];

		num_bios += event->kind == EVENT_WRITE;
		num_fua += event->fua;
		num_flushes += flushes(event);
		num_discards += event->kind == EVENT_DISCARD;
		num_marks += event->kind == EVENT_MARK;
		KUNIT_EXPECT_FALSE(test, event->failed);
	}
	KUNIT_EXPECT_GE(test, num_marks, 2 * param->num_groups);
	KUNIT_EXPECT_GE(test, num_bios, param->num_groups * param->group);
	if (param->max_blocks > 16)
		KUNIT_EXPECT_GE(test, num_bios,
				2 * param->num_groups * param->group);
	if (param->commit == COMMIT_BY_RECORD && param->mistake != NO_FUA)
		KUNIT_EXPECT_GE(test, num_fua,
				param->num_groups * param->group);
	if (param->commit != COMMIT_BY_RECORD && param->mistake != NO_FLUSH)
		KUNIT_EXPECT_GE(test, num_flushes, param->num_groups);
	KUNIT_EXPECT_EQ(test, !!num_discards, param->discard);
}

static void write_whole_log(struct kunit *test, struct writer *writer)
{
	struct shortage shortage;

	if (writer->param->no_memory)
		begin_shortage(test, &shortage);
	else
		get_reserve(test, 1);
	finish_job(test, start_job(test, write_log, writer), "the writer");
	if (writer->param->no_memory)
		end_shortage(test, &shortage);
	KUNIT_ASSERT_EQ(test, writer->num_failed, 0);
	KUNIT_ASSERT_EQ(test, writer->acknowledged, writer->number - 1);
}

static void acknowledged_data_survives(struct kunit *test)
{
	const struct writer_param *param = test->param_value;
	struct writer *writer = new_writer(test, param);
	unsigned int leg, cut, num_images = 0, num_bad = 0;

	write_whole_log(test, writer);
	for (leg = 0; leg < NUM_LEGS; leg++) {
		const struct test_log *log = writer->legs[leg]->log;
		struct replay *replay = new_replay(test, param, log);

		check_log(test, param, log);
		for (cut = 0; cut <= log->num; cut++)
			if (is_worth_a_cut(replay, cut))
				check_cut(test, replay, cut);
		KUNIT_EXPECT_EQ(test, replay->recovery->num_failed, 0);
		KUNIT_EXPECT_GE(test, replay->num_images,
				3 * param->num_groups * param->group);
		num_images += replay->num_images;
		num_bad += replay->num_bad;
	}
	kunit_info(test, "%u of %u images are bad\n", num_bad, num_images);
	if (param->mistake == NO_MISTAKE)
		KUNIT_EXPECT_EQ(test, num_bad, 0);
	else
		KUNIT_EXPECT_GT(test, num_bad, 0);
}

static struct kunit_case power_cases[] = {
	KUNIT_CASE_PARAM(acknowledged_data_survives, writer_gen_params),
	{}
};

struct kunit_suite power_suite = {
	.name = "dm_io_power",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = power_cases,
};
