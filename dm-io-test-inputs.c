// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: random limits, buffers, regions and calls
 *
 * All of a step follows from the seed and its number.
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/ioprio.h>
#include <linux/log2.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test-random.h"

/*
 * Random numbers
 */

u32 any(struct attempt *a)
{
	u64 z = a->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (z ^ z >> 31) >> 32;
}

/* 0 to @num - 1 */
unsigned int below(struct attempt *a, unsigned int num)
{
	return any(a) % num;
}

static bool one_in(struct attempt *a, unsigned int num)
{
	return !below(a, num);
}

/* Of a list of numbers, where some may be there several times. */
#define one_number(a, ...) ({						\
	static const unsigned long _choices[] = { __VA_ARGS__ };	\
	_choices[below(a, ARRAY_SIZE(_choices))];			\
})
static const struct {
	blk_status_t status;
	unsigned int why;
} device_errors[] = {
	{ BLK_STS_IOERR, WHY_EIO },
	{ BLK_STS_MEDIUM, WHY_ENODATA },
	{ BLK_STS_NOSPC, WHY_ENOSPC },
	{ BLK_STS_TIMEOUT, WHY_ETIMEDOUT },
	{ BLK_STS_NOTSUPP, WHY_EOPNOTSUPP },
};

/*
 * Disks
 */

/* What there are disks for: their limits fit each other. */
static void choose_limits(struct attempt *a, struct strict_limits *limits,
			  bool bio_based)
{
	unsigned int block, room;

	*limits = (struct strict_limits) {
		.block = one_number(a, 512, 512, 512, 1024, 2048, 4096, 4096, 4096,
				    8192, 16384, 65536),
		.dma_alignment = one_number(a, 0, 0, 3, 3, 3, 1, 7, 15, 31, 63, 127,
					    255, 511),
		.cache = one_in(a, 2),
		.fua = one_in(a, 2),
		.read_only = one_in(a, 40),
	};
	if (limits->block > MAX_LOGICAL_BLOCK)
		limits->block = 4096;
	block = limits->block;
	if (one_in(a, 8))
		limits->dma_alignment = min_t(unsigned int, block, PAGE_SIZE) - 1;

	limits->virt_boundary = one_number(a, 0, 0, 0, 4095, 4095, 511,
					   PAGE_SIZE - 1);
	limits->max_segments = one_number(a, 0, 1, 2, 3, 4, 8, 16, 64, 127);
	limits->seg_boundary = one_number(a, 0, 0, PAGE_SIZE - 1, SZ_64K - 1,
					  SZ_1M - 1, ULONG_MAX);
	limits->max_segment_size = one_number(a, 0, 0, PAGE_SIZE, 2 * PAGE_SIZE,
					      PAGE_SIZE + PAGE_SIZE / 2, SZ_64K,
					      SZ_1M, UINT_MAX);
	if (limits->virt_boundary)
		limits->max_segment_size = UINT_MAX;
	/* No hardware asks for segments that it cannot take. */
	if (limits->max_segment_size != UINT_MAX &&
	    limits->max_segment_size % (limits->dma_alignment + 1))
		limits->max_segment_size = 0;
	room = min_not_zero(limits->max_segment_size, (unsigned int)SZ_64K);
	if (limits->seg_boundary && limits->seg_boundary < room)
		room = limits->seg_boundary + 1;
	if (limits->max_segments)
		limits->max_segments = max_t(unsigned int, limits->max_segments,
					     DIV_ROUND_UP(block, room));
	limits->max_sectors = one_number(a, 0, 8, 16, 64, 127, 128, 1024, 8192);
	limits->max_sectors = max3(limits->max_sectors,
				   block >> SECTOR_SHIFT,
				   (unsigned int)(PAGE_SIZE >> SECTOR_SHIFT));
	if (one_in(a, 8))
		limits->chunk_sectors = one_number(a, 2, 3, 8, 64, 256) *
					(max_t(unsigned int, block, PAGE_SIZE) >>
					 SECTOR_SHIFT);
	if (!one_in(a, 4)) {
		limits->discard_sectors = (block >> SECTOR_SHIFT) *
			one_number(a, 1, 3, 16, 128) + one_number(a, 0, 0, 1);
		limits->discard_granularity = block *
			one_number(a, 1, 1, 2, 3, 8);
		limits->discard_alignment = block * one_number(a, 0, 0, 1);
		if (limits->discard_alignment >= limits->discard_granularity)
			limits->discard_alignment = 0;
	}
	if (!one_in(a, 4))
		limits->erase_sectors = (block >> SECTOR_SHIFT) *
					one_number(a, 1, 3, 16, 128);
	if (!one_in(a, 4))
		limits->zeroes_sectors = (block >> SECTOR_SHIFT) *
					 one_number(a, 1, 3, 16, 128);
	if (!limits->chunk_sectors && !one_in(a, 4)) {
		limits->atomic_min = block;
		limits->atomic_max = block << one_number(a, 0, 1, 3, 5);
		limits->atomic_max = min_t(unsigned int, limits->atomic_max,
					   SZ_64K);
	}

	/* These are no affair of a driver that takes bios. */
	if (bio_based) {
		limits->virt_boundary = 0;
		limits->max_segments = 0;
		limits->max_segment_size = 0;
		limits->seg_boundary = 0;
		limits->chunk_sectors = 0;
		limits->max_sectors = 8192;
	}
}

/* What the disk can write atomically may be less than it has been made for. */
void read_atomic_limits(struct target *t)
{
	t->atomic_min = 0;
	t->atomic_max = 0;
#ifdef REQ_ATOMIC
	if (bdev_can_atomic_write(t->bdev)) {
		t->atomic_min = bdev_get_queue(t->bdev)->limits.atomic_write_unit_min;
		t->atomic_max = bdev_get_queue(t->bdev)->limits.atomic_write_unit_max;
	}
#endif
}

static void choose_behaviour(struct attempt *a, struct target *t)
{
	struct strict_disk *strict = t->strict;
	unsigned int i, which;

	strict->end = one_number(a, END_AT_ONCE, END_AT_ONCE, END_AT_ONCE,
				 END_IN_WORKER, END_IN_SOFTIRQ);
	/* There are machines on which these wait for the next tick. */
	if (one_in(a, 32)) {
		strict->end = END_IN_HARDIRQ;
		a->slow = true;
	}
	strict->backwards = one_in(a, 2);
	strict->partial = one_in(a, 2);
	if (one_in(a, 128)) {
		strict->end = END_WHEN_TOLD;
		a->hold = true;
		a->slow = true;
	}
	memset(t->bad_why, 0, sizeof(t->bad_why));
	t->flush_why = 0;
	if (one_in(a, 40)) {
		which = below(a, ARRAY_SIZE(device_errors));
		strict->flush_status = device_errors[which].status;
		t->flush_why = device_errors[which].why;
	}
	if (!one_in(a, 8))
		return;
	for (i = 0; i <= below(a, STRICT_BADS); i++) {
		unsigned int block = t->limits.block >> SECTOR_SHIFT;

		which = below(a, ARRAY_SIZE(device_errors));
		strict->bad[i].sector = round_down(below(a, t->sectors), block);
		strict->bad[i].count = block * (1 + below(a, 40));
		strict->bad[i].status = device_errors[which].status;
		t->bad_why[i] = device_errors[which].why;
	}
}

static bool set_up_target(struct attempt *a, struct target *t, bool large)
{
	struct strict_disk *strict = t->strict;
	int error;

	t->used = true;
	if (!strict) {
		t->flush_why = 0;
		read_atomic_limits(t);
		return true;
	}
	choose_limits(a, &t->limits, strict->bio_based);
	t->sectors = large ? TARGET_BYTES >> SECTOR_SHIFT :
			     one_number(a, 136, 256, 1000, 2048, 2049);
	t->usable = t->sectors;
	error = strict_disk_limit(strict, &t->limits, t->sectors);
	if (error) {
		fail(a, "%s: the limits are refused with %d", t->name, error);
		return false;
	}
	t->limits = strict->limits;
	read_atomic_limits(t);
	choose_behaviour(a, t);
	return true;
}

/*
 * The call, and its regions
 */

#ifdef REQ_ATOMIC
#define ATOMIC		REQ_ATOMIC
#else
#define ATOMIC		((__force blk_opf_t)0)
#endif

const blk_opf_t plain_flags[NUM_PLAIN_FLAGS] = {
	REQ_SYNC, REQ_META, REQ_PRIO, REQ_IDLE, REQ_BACKGROUND, REQ_RAHEAD,
	REQ_NOMERGE, REQ_SWAP, REQ_FAILFAST_DEV, REQ_FAILFAST_TRANSPORT,
	REQ_FAILFAST_DRIVER,
};

/* Each of these is refused. */
static const blk_opf_t wrong_opfs[] = {
	REQ_OP_READ | REQ_FUA,
	REQ_OP_READ | REQ_PREFLUSH,
	REQ_OP_READ | REQ_NOUNMAP,
	REQ_OP_READ | REQ_NOWAIT,
	REQ_OP_WRITE | REQ_NOWAIT,
	REQ_OP_WRITE | REQ_POLLED,
	REQ_OP_WRITE | REQ_NOUNMAP,
	REQ_OP_FLUSH | REQ_FUA,
	REQ_OP_FLUSH | REQ_PREFLUSH,
	REQ_OP_DISCARD | REQ_FUA,
	REQ_OP_DISCARD | REQ_NOUNMAP,
	REQ_OP_SECURE_ERASE | REQ_PREFLUSH,
	REQ_OP_WRITE_ZEROES | REQ_FUA,
	REQ_OP_WRITE_ZEROES | REQ_NOWAIT,
	REQ_OP_DRV_IN,
	REQ_OP_ZONE_RESET,
};

static void choose_opf(struct attempt *a)
{
	unsigned int op = below(a, 100), i;

	if (op < 30)
		a->opf = REQ_OP_READ;
	else if (op < 72)
		a->opf = REQ_OP_WRITE;
	else if (op < 77)
		a->opf = REQ_OP_FLUSH;
	else if (op < 85)
		a->opf = REQ_OP_DISCARD;
	else if (op < 89)
		a->opf = REQ_OP_SECURE_ERASE;
	else if (op < 97)
		a->opf = REQ_OP_WRITE_ZEROES;
	else
		a->opf = REQ_OP_WRITE | ATOMIC;

	if (a->opf == REQ_OP_WRITE_ZEROES && one_in(a, 2))
		a->opf |= REQ_NOUNMAP;
	if ((a->opf & REQ_OP_MASK) == REQ_OP_WRITE) {
		if (one_in(a, 6))
			a->opf |= REQ_PREFLUSH;
		if (one_in(a, 6))
			a->opf |= REQ_FUA;
	}
	for (i = below(a, 3); i; i--)
		a->opf |= plain_flags[below(a, NUM_PLAIN_FLAGS)];
	if (one_in(a, 100)) {
		a->opf = wrong_opfs[below(a, ARRAY_SIZE(wrong_opfs))];
		a->refused = true;
	}
	a->moves_data = (a->opf & REQ_OP_MASK) == REQ_OP_READ ||
			(a->opf & REQ_OP_MASK) == REQ_OP_WRITE;
}

static bool overlaps(const struct attempt *a, const struct io_region *where)
{
	unsigned int i;

	for (i = 0; i < a->num_regions; i++) {
		const struct io_region *other = &a->where[i];

		if (other->bdev == where->bdev && other->count &&
		    where->sector < other->sector + other->count &&
		    other->sector < where->sector + where->count)
			return true;
	}
	return false;
}

/* A number of sectors: in whole blocks, and mostly few. */
static sector_t choose_count(struct attempt *a, const struct target *t,
			     bool large, bool many)
{
	unsigned int block = t->limits.block, blocks;
	unsigned int bytes = one_number(a, 1, 1, 1, SZ_4K, SZ_8K, SZ_16K, SZ_32K,
					SZ_64K, SZ_128K, SZ_256K);

	if (large)
		bytes = SZ_512K + below(a, MAX_LARGE - SZ_512K);
	else if (many || a->slow)
		bytes = min(bytes, (unsigned int)SZ_8K);
	blocks = max(1u, bytes / block);
	if (!large)
		blocks = 1 + below(a, blocks);
#ifdef REQ_ATOMIC
	if (a->opf & REQ_ATOMIC && !one_in(a, 8)) {
		bytes = max(t->atomic_min, block);
		while (bytes * 2 <= t->atomic_max && !one_in(a, 3))
			bytes *= 2;
		blocks = bytes / block;
	}
#endif
	return (sector_t)blocks * (block >> SECTOR_SHIFT);
}

static void choose_region(struct attempt *a, struct target *t, bool large,
			  bool many)
{
	struct io_region *where = &a->where[a->num_regions];
	unsigned int block = t->limits.block >> SECTOR_SHIFT, tries;
	bool good = false;

	where->bdev = t->bdev;
	for (tries = 0; tries < 8 && !good; tries++) {
		where->count = choose_count(a, t, large, many);
		if (where->count > t->usable)
			where->count = block;
		where->sector = round_down(below(a, t->usable - where->count + 1),
					   block);
#ifdef REQ_ATOMIC
		if (a->opf & REQ_ATOMIC && is_power_of_2(where->count) &&
		    !one_in(a, 8))
			where->sector = round_down(where->sector, where->count);
#endif
		good = !overlaps(a, where);
	}
	if (!good)
		where->count = 0;
	if (one_in(a, 12)) {
		switch (below(a, 9)) {
		case 0:
			where->sector++;
			break;
		case 1:
			where->count++;
			break;
		case 2:
			where->sector = t->sectors - below(a, min_t(u64, t->sectors,
						where->count + 1));
			where->sector = round_up(where->sector, block);
			break;
		case 3:
			where->sector = -(sector_t)block;
			break;
		case 4:
			where->count = -(sector_t)block;
			break;
		case 5:
			where->count = round_up(t->sectors + 1, block);
			break;
		case 6:
			where->count = 0;
			where->sector += below(a, 2);
			break;
		case 7:
			where->bdev = NULL;
			where->count = 0;
			break;
		default:
			if (one_in(a, 8))
				where->bdev = NULL;
		}
		if (where->bdev && overlaps(a, where))
			where->count = 0;
		/* A real disk goes on behind what the model knows of it. */
		if (where->count <= t->sectors &&
		    where->sector <= t->sectors - where->count &&
		    where->sector + where->count > t->usable)
			where->count = 0;
	}
	a->outcomes[a->num_regions].target = t;
	a->num_regions++;
}

static bool choose_regions(struct attempt *a)
{
	struct target *active[3];
	unsigned int num_active, num, i;
	bool large = one_in(a, 128);

	num = one_number(a, 1, 1, 1, 1, 2, 2, 3, 4, 8);
	if (one_in(a, 64))
		num = 1 + below(a, BITS_PER_LONG);
	if ((a->opf & REQ_OP_MASK) == REQ_OP_READ && !one_in(a, 64))
		num = 1;
	if (large)
		num = min(num, 2u);

	num_active = 1 + below(a, min_t(unsigned int, ARRAY_SIZE(active), num));
	for (i = 0; i < num_active; i++) {
		active[i] = &run.targets[below(a, run.num_targets)];
		if (!active[i]->used && !set_up_target(a, active[i], large))
			return false;
	}
	if (a->slow)
		large = false;
	a->num_regions = 0;
	for (i = 0; i < num; i++)
		choose_region(a, active[below(a, num_active)], large, num > 8);
	return true;
}

/*
 * The buffer
 */

static void add_piece(struct attempt *a, unsigned int at, unsigned int len)
{
	a->pieces[a->num_pieces].at = at;
	a->pieces[a->num_pieces].len = len;
	a->num_pieces++;
	a->available += len;
	a->window_from = min(a->window_from, at);
	a->window_to = max(a->window_to, at + len);
}

/* Pages of the pool, in some order. */
static void make_list(struct attempt *a, u64 bytes)
{
	unsigned int num, first, order, i;

	a->offset = one_number(a, 0, 0, 0, 512, 4, 1, 2048) % PAGE_SIZE;
	if (one_in(a, 8))
		a->offset = below(a, PAGE_SIZE);
	num = max_t(u64, 1, DIV_ROUND_UP_ULL(a->offset + bytes, PAGE_SIZE));
	first = 1 + below(a, POOL_PAGES - num - 1);
	order = below(a, 3);
	for (i = 0; i < num; i++) {
		unsigned int page = i;
		unsigned int offset = i ? 0 : a->offset;

		if (order == 1)
			page = num - 1 - i;
		else if (order == 2 && num % 7)
			page = (i * 7 + 3) % num;
		a->list[i].page = run.pages[first + page];
		a->list[i].next = i + 1 < num ? &a->list[i + 1] : NULL;
		add_piece(a, ((first + page) << PAGE_SHIFT) + offset,
			  PAGE_SIZE - offset);
	}
}

/* Pieces of an array, each of them contiguous in memory. */
static void make_pieces(struct attempt *a, u64 bytes)
{
	unsigned int unit = one_number(a, 1, 2, 4, 4, 8, 16, 512, 512, 1024, 4096,
				       PAGE_SIZE);
	unsigned int gap = one_number(a, 0, 0, 1, 4, 512, PAGE_SIZE);
	unsigned int least = max_t(u64, 1, bytes / (MAX_PIECES / 2));
	unsigned int at, i;
	u64 left = bytes;

	a->style = unit;
	at = PAGE_SIZE + round_down(below(a, SZ_256K), unit);
	while (left) {
		unsigned int page = at >> PAGE_SHIFT;
		unsigned int room = ((page + 1 + run.run_left[page]) << PAGE_SHIFT) - at;
		unsigned int len;

		switch (below(a, 4)) {
		case 0:
			len = room;
			break;
		case 1:
			len = PAGE_SIZE - offset_in_page(at);
			break;
		case 2:
			len = 1 + below(a, 1024);
			break;
		default:
			len = 1 + below(a, SZ_16K);
		}
		len = max(round_down(len, unit), unit);
		if (a->num_pieces > MAX_PIECES / 4)
			len = max3(len, least, (unsigned int)PAGE_SIZE * 4);
		len = min3(len, room, (unsigned int)min_t(u64, left, UINT_MAX));
		add_piece(a, at, len);
		left -= len;
		at += len;
		if (one_in(a, 2))
			at += round_up(below(a, gap + 1), unit);
		at = round_up(at, min_t(unsigned int, unit, PAGE_SIZE));
		/* Holes may not use up what is left of the pool. */
		if (at + left + PAGE_SIZE > POOL_BYTES - SZ_64K)
			gap = 0;
	}
	/* In any order. */
	if (one_in(a, 3)) {
		for (i = 1; i < a->num_pieces; i++) {
			unsigned int other = below(a, i + 1);

			swap(a->pieces[i], a->pieces[other]);
		}
	}
}

static void make_table(struct attempt *a)
{
	unsigned int i;

	a->table_from = below(a, 4);
	for (i = 0; i < a->table_from; i++)
		a->table[i] = (struct bio_vec) { POISON, 4096, 4096 };
	for (i = 0; i < a->num_pieces; i++)
		bvec_set_page(&a->table[a->table_from + i],
			      run.pages[a->pieces[i].at >> PAGE_SHIFT],
			      a->pieces[i].len,
			      offset_in_page(a->pieces[i].at));
	a->table_num = a->table_from + a->num_pieces;
	for (i = 0; i < 4; i++)
		a->table[a->table_num + i] =
			(struct bio_vec) { POISON, 4096, 4096 };
}

static void make_array(struct attempt *a, u64 bytes)
{
	make_pieces(a, bytes);
	make_table(a);
	/* Its end has to be told only if it comes too early. */
	if (a->available < a->need || one_in(a, 4))
		a->table[a->table_num].bv_len = 0;
}

/* From the middle of a larger one. */
static void make_bio(struct attempt *a, u64 bytes)
{
	unsigned int before, piece = 0;
	u64 behind;

	make_pieces(a, bytes);
	before = one_number(a, 0, 0, 512, 4096, 3);
	before = min_t(unsigned int, before, a->pieces[0].len - 1);
	make_table(a);
	bio_init(&a->bio, NULL, a->table + a->table_from, a->num_pieces,
		 REQ_OP_READ);
	a->bio.bi_vcnt = a->num_pieces;
	a->bio.bi_iter.bi_sector = any(a);

	/* What lies before its start and behind its end is none of its memory. */
	a->bio.bi_iter.bi_idx = 0;
	a->bio.bi_iter.bi_bvec_done = before;
	if (one_in(a, 3) && a->num_pieces > 2) {
		piece = 1 + below(a, a->num_pieces - 2);
		a->bio.bi_iter.bi_idx = piece;
		before = min(before, a->pieces[piece].len - 1);
		a->bio.bi_iter.bi_bvec_done = before;
	}
	while (piece--) {
		a->available -= a->pieces[0].len;
		a->num_pieces--;
		memmove(a->pieces, a->pieces + 1,
			a->num_pieces * sizeof(*a->pieces));
	}
	a->available -= before;
	a->pieces[0].at += before;
	a->pieces[0].len -= before;
	behind = one_in(a, 2) ? 0 : below(a, 64);
	if (behind < a->pieces[a->num_pieces - 1].len) {
		a->pieces[a->num_pieces - 1].len -= behind;
		a->available -= behind;
	}
	a->bio.bi_iter.bi_size = a->available;
	a->bio_before = a->bio;
}

static void make_virtual(struct attempt *a, u64 bytes)
{
	unsigned int at = PAGE_SIZE + below(a, SZ_64K);

	switch (below(a, 4)) {
	case 0:
		break;
	case 1:
		at = round_up(at, 512);
		break;
	default:
		at = round_up(at, PAGE_SIZE);
	}
	/* The page behind the pool is not there. */
	if (bytes < a->need)
		at = POOL_BYTES - bytes;
	add_piece(a, at, bytes);
	a->data = run.pool + at;
}

/* The first run of the pool is the longest. */
static void make_linear(struct attempt *a, u64 bytes)
{
	unsigned int room = (1 + run.run_left[0]) << PAGE_SHIFT;
	unsigned int at;

	if (bytes > room || bytes < a->need) {
		a->kind = OF_VIRTUAL;
		make_virtual(a, bytes);
		return;
	}
	at = below(a, room - bytes + 1);
	if (!one_in(a, 4))
		at = round_down(at, 512);
	add_piece(a, at, bytes);
	a->data = page_address(run.pages[0]) + at;
}

static void choose_kind(struct attempt *a)
{
	switch (a->call & ~1) {
	case SYNC_PAGES:
		a->kind = OF_LIST;
		break;
	case SYNC_BVEC:
		a->kind = OF_ARRAY;
		break;
	case SYNC_VM:
		a->kind = one_in(a, 3) ? OF_LINEAR : OF_VIRTUAL;
		break;
	case SYNC_BIO:
		a->kind = OF_BIO;
		break;
	default:
		a->kind = below(a, NUM_OF_KINDS);
	}
}

/* How long a buffer the regions ask for; not those beyond all reason. */
static void find_need(struct attempt *a)
{
	unsigned int i;

	a->need = 0;
	for (i = 0; i < a->num_regions; i++)
		if (a->where[i].count <= MAX_LARGE >> SECTOR_SHIFT)
			a->need = max_t(u64, a->need,
					(u64)a->where[i].count << SECTOR_SHIFT);
}

static void make_buffer(struct attempt *a)
{
	u64 bytes;

	a->num_pieces = 0;
	a->available = 0;
	a->offset = 0;
	a->data = NULL;
	a->window_from = POOL_BYTES;
	a->window_to = 0;
	choose_kind(a);
	find_need(a);
	bytes = a->need + one_number(a, 0, 0, 1, 512, 4096);
	/* A bio loses some at its ends. */
	if (a->kind == OF_BIO)
		bytes += one_number(a, SZ_4K, SZ_16K);
	if (one_in(a, 40))
		bytes = below(a, a->need + 1);
	bytes = max_t(u64, bytes, 1);

	switch (a->kind) {
	case OF_LIST:
		make_list(a, bytes);
		break;
	case OF_ARRAY:
		make_array(a, bytes);
		break;
	case OF_VIRTUAL:
		make_virtual(a, bytes);
		break;
	case OF_LINEAR:
		make_linear(a, bytes);
		break;
	default:
		make_bio(a, bytes);
	}
	a->window_from -= min_t(unsigned int, a->window_from, GUARD_BYTES);
	a->window_to = min_t(unsigned int, a->window_to + GUARD_BYTES, POOL_BYTES);
}

/* Bytes of the buffer, in @image or in the pool itself, from the @from-th on. */
void copy_buffer(const struct attempt *a, u8 *image, u64 from, u8 *bytes,
		 u64 num, bool to_buffer)
{
	unsigned int i;

	for (i = 0; i < a->num_pieces && num; i++) {
		const struct piece *piece = &a->pieces[i];
		unsigned int len;

		if (from >= piece->len) {
			from -= piece->len;
			continue;
		}
		len = min_t(u64, num, piece->len - from);
		if (to_buffer)
			memcpy(image + piece->at + from, bytes, len);
		else
			memcpy(bytes, image + piece->at + from, len);
		bytes += len;
		num -= len;
		from = 0;
	}
}

phys_addr_t phys_of(unsigned int at)
{
	return page_to_phys(run.pages[at >> PAGE_SHIFT]) + offset_in_page(at);
}

static bool any_sectors(const struct attempt *a)
{
	unsigned int i;

	for (i = 0; i < a->num_regions; i++)
		if (a->where[i].count)
			return true;
	return false;
}

/* What a careless caller can do wrong with the arguments of dm_io_submit(). */
static void spoil_args(struct attempt *a)
{
	switch (below(a, 5)) {
	case 0:
		a->args.flags |= BIT(2 + below(a, 30));
		a->refused = true;
		break;
	case 1:
		/* Then it is not synchronous, either. */
		a->args.fn = note_error;
		a->args.result_fn = note_result;
		a->args.error_bits = NULL;
		a->refused = true;
		break;
	case 2:
		if (!a->moves_data)
			break;
		if (a->kind == OF_LIST)
			a->args.data = run.pool;
		else
			a->args.pl = a->list;
		a->refused = true;
		break;
	case 3:
		if (!a->moves_data || a->kind == OF_LIST)
			break;
		a->args.offset = 512;
		a->refused = true;
		break;
	default:
		if (a->kind != OF_LIST || !a->moves_data)
			break;
		a->offset = PAGE_SIZE;
		a->args.offset = PAGE_SIZE;
		/* Nobody looks at a buffer that nobody needs. */
		a->refused = any_sectors(a);
	}
}

static void make_args(struct attempt *a)
{
	struct dm_io_args *args = &a->args;

	args->opf = a->opf;
	args->num_regions = a->num_regions;
	args->where = a->no_where ? NULL : a->where;
	if (a->no_buffer) {
		/* There is none. */
	} else if (!a->moves_data) {
		/* What is not looked at may be anything. */
		switch (below(a, 5)) {
		case 0:
			args->pl = POISON;
			args->offset = below(a, 2 * PAGE_SIZE);
			break;
		case 1:
			args->bvec = POISON;
			break;
		case 2:
			args->data = POISON;
			break;
		case 3:
			if (a->kind == OF_BIO)
				args->bio = &a->bio;
			break;
		}
	} else {
		switch (a->kind) {
		case OF_LIST:
			args->pl = a->list;
			args->offset = a->offset;
			break;
		case OF_ARRAY:
			args->bvec = a->table + a->table_from;
			break;
		case OF_BIO:
			args->bio = &a->bio;
			break;
		default:
			args->data = a->data;
		}
	}
	if (one_in(a, 4))
		args->ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, below(a, 8));
	if (one_in(a, 8))
		args->flags |= DM_IO_KILLABLE;
	if (one_in(a, 16))
		args->flags |= DM_IO_READ_ONLY_OK;
	if (is_async(a->call)) {
		if (one_in(a, 2))
			args->fn = note_error;
		else
			args->result_fn = note_result;
		args->context = a;
	} else {
		args->error_bits = one_in(a, 4) ? NULL : &a->error_bits;
		if (one_in(a, 2)) {
			args->unsupported_bits = &a->unsupported_bits;
			a->knows_unsupported = true;
		}
	}
	if (!one_in(a, 4))
		args->errors = a->errors;
	if (!a->no_buffer && one_in(a, 64))
		spoil_args(a);
}

/*
 * All of it
 */

static void choose_memory(struct attempt *a)
{
	/* The library logs it when there is none, for the first of them. */
	if (a->number / 64 % 2)
		a->reserve = 1 + below(a, 4);
	switch (below(a, 6)) {
	case 0:
		a->memory = NO_MEMORY;
		break;
	case 1:
		a->memory = ONE_FAILS;
		a->fail_after = below(a, 8);
		break;
	default:
		a->memory = PLENTY;
	}
}

static void fill_window(struct attempt *a)
{
	unsigned int len = a->window_to - a->window_from;

	memset(run.image + a->window_from, GUARD, len);
	a->pattern = bytes_of(1000 + a->number);
	if ((a->opf & REQ_OP_MASK) == REQ_OP_WRITE)
		copy_buffer(a, run.image, 0, (u8 *)a->pattern, a->available, true);
	memcpy(run.pool + a->window_from, run.image + a->window_from, len);
}

/* What a disk leaves to the block layer is none of its business. */
static void allow_writes(struct attempt *a)
{
	unsigned int i;

	if (!(a->args.flags & DM_IO_READ_ONLY_OK))
		return;
	for (i = 0; i < run.num_targets; i++)
		if (run.targets[i].used && run.targets[i].strict)
			run.targets[i].strict->limits.read_only = false;
}

bool choose_attempt(struct attempt *a)
{
	static const u8 choices[] = {
		SYNC_PAGES, ASYNC_PAGES, SYNC_BVEC, ASYNC_BVEC, SYNC_VM, ASYNC_VM,
		SYNC_BIO, ASYNC_BIO, SYNC_ARGS, ASYNC_ARGS, SYNC_ARGS, ASYNC_ARGS,
		SYNC_ARGS, ASYNC_ARGS,
	};

	a->call = choices[below(a, ARRAY_SIZE(choices))];
	choose_opf(a);
	choose_memory(a);
	if (!choose_regions(a))
		return false;
	make_buffer(a);
	if (one_in(a, 200))
		a->no_buffer = true;
	if (one_in(a, 400))
		a->no_where = true;
	if (one_in(a, 400))
		a->num_regions = one_in(a, 2) ? 0 : BITS_PER_LONG + 1;
	if (is_call_of_args(a->call))
		make_args(a);
	else if (!is_async(a->call) && !one_in(a, 8))
		a->args.error_bits = &a->error_bits;
	memcpy(a->where_before, a->where, sizeof(a->where));
	allow_writes(a);
	fill_window(a);
	return true;
}
