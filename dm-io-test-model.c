// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: what comes of a call, by the contract in dm-io.h
 *
 * The model shares nothing with the library: it goes by the text. It tells what has to
 * happen, and where the contract leaves a choice, what may; and compares that with
 * what the call has returned, and has left on the disks and in the buffer.
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/log2.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test-random.h"

static const int why_errors[] = {
	-ERANGE, -EINVAL, -EROFS, -EOPNOTSUPP, -ENOMEM, -EFAULT, -EIO, -ENODATA,
	-ENOSPC, -ETIMEDOUT,
};

static bool is_write(const struct attempt *a)
{
	return op_is_write(a->opf);
}

/*
 * The model
 */

/*
 * Can the device take @bytes of the buffer from where they are? A no means that it may
 * be able to, or not. @whole asks whether it can in one request.
 */
static bool suits(const struct attempt *a, const struct target *t, u64 bytes,
		  bool whole)
{
	const struct strict_limits *limits = &t->limits;
	unsigned int page_unit = min_t(unsigned int, limits->block, PAGE_SIZE);
	u64 unit = whole ? bytes : limits->block;
	unsigned int segments = 0, i = 0, from = 0;
	u64 left = unit;
	phys_addr_t end = 0;

	while (bytes) {
		const struct piece *piece = &a->pieces[i];
		unsigned int at = piece->at + from;
		unsigned int len = min3((u64)piece->len - from, left, bytes);
		phys_addr_t addr;

		/* What is virtually contiguous is so page by page. */
		len = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(at));
		addr = phys_of(at);
		if ((addr | len) & limits->dma_alignment)
			return false;
		/* Such drivers count in whole blocks from the start of a page. */
		if (limits->dma_alignment >= SECTOR_SIZE - 1 &&
		    ((addr | len) & (page_unit - 1)))
			return false;
		if (left < unit && ((end | addr) & limits->virt_boundary))
			return false;
		if (++segments > limits->max_segments)
			return false;
		/* Contiguous, but across the boundary. */
		if (left < unit && addr == end && !(addr & limits->seg_boundary))
			return false;
		if (len > limits->max_segment_size ||
		    (addr & limits->seg_boundary) + len - 1 > limits->seg_boundary)
			return false;
		end = addr + len;
		bytes -= len;
		left -= len;
		from += len;
		if (from == piece->len) {
			i++;
			from = 0;
		}
		if (!left) {
			left = unit;
			segments = 0;
		}
	}
	return true;
}

/* Is there no way at all to make one request of it? */
static bool cannot_be_one(const struct attempt *a, const struct target *t,
			  u64 bytes)
{
	const struct strict_limits *limits = &t->limits;
	unsigned int segments = 0, i = 0, from = 0;
	phys_addr_t end = 0;

	while (bytes) {
		const struct piece *piece = &a->pieces[i];
		unsigned int at = piece->at + from;
		unsigned int len = min_t(u64, piece->len - from, bytes);
		phys_addr_t addr = phys_of(at);

		len = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(at));
		if (addr != end) {
			if (addr & limits->dma_alignment)
				return true;
			if (segments && ((end | addr) & limits->virt_boundary))
				return true;
			if (++segments > limits->max_segments)
				return true;
		}
		end = addr + len;
		bytes -= len;
		from += len;
		if (from == piece->len) {
			i++;
			from = 0;
		}
	}
	return end & limits->dma_alignment;
}

static unsigned int range_limit_of(const struct attempt *a, const struct target *t)
{
	switch ((__force enum req_op)(a->opf & REQ_OP_MASK)) {
	case REQ_OP_DISCARD:
		return t->limits.discard_sectors;
	case REQ_OP_SECURE_ERASE:
		return t->limits.erase_sectors;
	default:
		return t->limits.zeroes_sectors;
	}
}

static bool is_flush(const struct attempt *a)
{
	return (a->opf & REQ_OP_MASK) == REQ_OP_FLUSH;
}

static bool wants_atomic(const struct attempt *a)
{
#ifdef REQ_ATOMIC
	return a->opf & REQ_ATOMIC;
#else
	return false;
#endif
}

/* The order of the checks is not in the contract. */
static unsigned int check_reasons(struct attempt *a, unsigned int region)
{
	const struct io_region *where = &a->where[region];
	struct outcome *o = &a->outcomes[region];
	const struct target *t = o->target;
	unsigned int block = t->limits.block >> SECTOR_SHIFT, why = 0;

	if (where->count > t->sectors) {
		o->longer = true;
		why |= WHY_ERANGE;
	} else if (where->sector > t->sectors - where->count) {
		why |= WHY_ERANGE;
	}
	if ((where->sector | where->count) & (block - 1))
		why |= WHY_EINVAL;
	if (is_write(a) && t->limits.read_only &&
	    !(is_call_of_args(a->call) && a->args.flags & DM_IO_READ_ONLY_OK))
		why |= WHY_EROFS;
	if (!a->moves_data && !range_limit_of(a, t))
		why |= WHY_EOPNOTSUPP;
	if (wants_atomic(a) && !t->atomic_max)
		why |= WHY_EOPNOTSUPP;
	return why;
}

static void expect_flush_of(struct attempt *a, struct outcome *o)
{
	const struct target *t = o->target;

	if (t->limits.cache && t->flush_why)
		o->must |= t->flush_why;
}

static void expect_device_errors(struct attempt *a, struct outcome *o)
{
	const struct target *t = o->target;
	sector_t first = o->start >> SECTOR_SHIFT;
	sector_t end = (o->start + o->bytes) >> SECTOR_SHIFT;
	unsigned int i;

	if (a->opf & REQ_PREFLUSH)
		expect_flush_of(a, o);
	/* Without FUA, the block layer flushes behind the write. */
	if (a->opf & REQ_FUA && t->strict && !t->strict->bio_based &&
	    !t->limits.fua)
		expect_flush_of(a, o);
	for (i = 0; t->strict && i < STRICT_BADS; i++) {
		const struct strict_bad *bad = &t->strict->bad[i];

		if (bad->count && bad->sector < end &&
		    bad->sector + bad->count > first)
			o->must |= t->bad_why[i];
	}
	if (!t->strict && !a->moves_data)
		o->may |= WHY_EOPNOTSUPP;
}

static bool touch(const struct outcome *one, const struct outcome *other)
{
	return one->target == other->target && one->bytes && other->bytes &&
	       (one->start + one->bytes == other->start ||
		other->start + other->bytes == one->start);
}

/*
 * The block layer makes one request of what is contiguous on the disk, and then all
 * of it fails. Not where a driver takes bios.
 */
static void expect_neighbours(struct attempt *a)
{
	bool again = true;
	unsigned int i, j;

	while (again) {
		again = false;
		for (i = 0; i < a->num_regions; i++) {
			struct outcome *one = &a->outcomes[i];
			unsigned int why = one->must | one->spread;

			if (!one->bytes || !why ||
			    (one->target->strict && one->target->strict->bio_based))
				continue;
			for (j = 0; j < a->num_regions; j++) {
				struct outcome *other = &a->outcomes[j];

				if (!touch(one, other) || !(why & ~other->spread))
					continue;
				other->spread |= why;
				again = true;
			}
		}
	}
	for (i = 0; i < a->num_regions; i++)
		a->outcomes[i].may |= a->outcomes[i].spread;
}

static void expect_atomic(struct attempt *a, struct outcome *o)
{
	const struct target *t = o->target;

	if (o->bytes < t->atomic_min || o->bytes > t->atomic_max ||
	    !is_power_of_2(o->bytes) || (o->start & (o->bytes - 1))) {
		a->refused = true;
		return;
	}
	if (o->bytes > a->available)
		return;
	if (cannot_be_one(a, t, o->bytes)) {
		/* Without memory, it may not come to that. */
		if (a->memory == PLENTY)
			a->refused = true;
		else
			o->must |= WHY_ENOMEM;
		a->may_be_refused = true;
	} else if (!suits(a, t, o->bytes, true)) {
		a->may_be_refused = true;
	}
	if (a->memory != PLENTY)
		o->may |= WHY_ENOMEM;
}

static void expect_region(struct attempt *a, unsigned int region)
{
	const struct io_region *where = &a->where[region];
	struct outcome *o = &a->outcomes[region];
	const struct target *t = o->target;
	unsigned int why;

	if (!where->bdev) {
		if (where->count)
			a->refused = true;
		return;
	}
	if (is_flush(a) || !where->count) {
		if (is_flush(a) || a->opf & REQ_PREFLUSH)
			expect_flush_of(a, o);
		return;
	}
	o->data = true;
	why = check_reasons(a, region);
	if (why) {
		o->unfit = true;
		o->must = why;
		/* It may be told by its size that it cannot be atomic, too. */
		if (wants_atomic(a))
			a->may_be_refused = true;
		return;
	}
	o->start = (u64)where->sector << SECTOR_SHIFT;
	o->bytes = (u64)where->count << SECTOR_SHIFT;
	expect_device_errors(a, o);
	if (wants_atomic(a))
		expect_atomic(a, o);
	else if (a->moves_data && a->memory != PLENTY &&
		 o->bytes <= a->available && !suits(a, t, o->bytes, false))
		o->may |= WHY_ENOMEM;
}

/* A buffer that is too short: does it show at once? */
static void expect_short(struct attempt *a)
{
	bool early = a->kind == OF_ARRAY || a->kind == OF_BIO ||
		     (a->memory == PLENTY &&
		      a->available <= 128 * PAGE_SIZE);
	unsigned int i;

	if (!a->moves_data)
		return;
	for (i = 0; i < a->num_regions; i++) {
		struct outcome *o = &a->outcomes[i];
		u64 bytes = (u64)a->where[i].count << SECTOR_SHIFT;

		if (!o->data)
			continue;
		if (a->no_buffer) {
			a->refused = true;
			continue;
		}
		if (!o->longer && bytes <= a->available)
			continue;
		if (o->longer) {
			a->may_be_refused |= bytes > a->available;
		} else if (o->unfit) {
			/* Nothing of it is to be written. */
			if (is_write(a) || !early)
				a->may_be_refused = true;
			else
				a->refused = true;
		} else if (early) {
			a->refused = true;
		} else {
			a->may_be_refused = true;
			if (o->must)
				o->may |= WHY_EFAULT;
			else
				o->must = WHY_EFAULT;
			if (a->memory != PLENTY)
				o->may |= WHY_ENOMEM;
		}
	}
}

void expect_attempt(struct attempt *a)
{
	unsigned int i;

	if (!a->num_regions || a->num_regions > BITS_PER_LONG || a->no_where) {
		a->refused = true;
		return;
	}
	if ((a->opf & REQ_OP_MASK) == REQ_OP_READ && a->num_regions > 1)
		a->refused = true;
	if (a->refused)
		return;
	for (i = 0; i < a->num_regions; i++)
		expect_region(a, i);
	expect_neighbours(a);
	expect_short(a);
}

/*
 * What came of it
 */

static unsigned int why_of(int error)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(why_errors); i++)
		if (why_errors[i] == error)
			return BIT(i);
	return 0;
}

static void check_bits(struct attempt *a)
{
	unsigned int i;

	for (i = 0; i < a->num_regions; i++) {
		const struct outcome *o = &a->outcomes[i];
		bool failed = a->error & BIT(i);

		if (!failed && o->must)
			fail(a, "region %u succeeded, has to fail with %#x", i,
			     o->must);
		if (failed && !o->must && !o->may)
			fail(a, "region %u failed (error %d), has to succeed", i,
			     a->args.errors ? a->errors[i] : 0);
		if (a->args.errors) {
			int error = a->errors[i];

			if (!failed && error)
				fail(a, "region %u succeeded with error %d", i,
				     error);
			if (failed && !(why_of(error) & (o->must | o->may)))
				fail(a, "region %u failed with error %d, has to be of %#x",
				     i, error, o->must | o->may);
			if (a->knows_unsupported &&
			    (error == -EOPNOTSUPP) != !!(a->unsupported & BIT(i)))
				fail(a, "region %u failed with error %d, unsupported bits are %#lx",
				     i, error, a->unsupported);
		}
		if (a->knows_unsupported && a->unsupported & BIT(i)) {
			if (!failed)
				fail(a, "region %u is unsupported, but has not failed", i);
			if (!((o->must | o->may) & WHY_EOPNOTSUPP))
				fail(a, "region %u cannot be unsupported", i);
		}
		if (a->knows_unsupported && failed && !(a->unsupported & BIT(i)) &&
		    (o->must | o->may) == WHY_EOPNOTSUPP)
			fail(a, "region %u is unsupported, not reported as such", i);
	}
	if (a->num_regions < BITS_PER_LONG && a->error >> a->num_regions)
		fail(a, "error bits %#lx, of %u regions", a->error,
		     a->num_regions);
	for (; i < ARRAY_SIZE(a->errors); i++)
		if (a->errors[i] != 0x55555555)
			fail(a, "error %d of region %u, which is not there",
			     a->errors[i], i);
}

/* The return value of a synchronous call follows from how its regions went. */
static void check_sync_return(struct attempt *a)
{
	bool all_unsupported = true, may_be = true;
	unsigned int i;

	if (!a->args.error_bits) {
		bool any_must = false, any_may = false;

		for (i = 0; i < a->num_regions; i++) {
			any_must |= a->outcomes[i].must;
			any_may |= a->outcomes[i].must | a->outcomes[i].may;
		}
		if (!a->ret && any_must)
			fail(a, "returned 0, has to fail");
		if (a->ret && !any_may)
			fail(a, "returned %d, has to succeed", a->ret);
		if (a->ret && a->ret != -EIO && a->ret != -EOPNOTSUPP)
			fail(a, "returned %d", a->ret);
		return;
	}
	if (!a->error) {
		if (a->ret)
			fail(a, "returned %d, although no region failed", a->ret);
		return;
	}
	for (i = 0; i < a->num_regions; i++) {
		const struct outcome *o = &a->outcomes[i];

		if (!(a->error & BIT(i)))
			continue;
		if ((o->must | o->may) != WHY_EOPNOTSUPP)
			all_unsupported = false;
		if (!((o->must | o->may) & WHY_EOPNOTSUPP))
			may_be = false;
		if (a->args.errors) {
			if (a->errors[i] != -EOPNOTSUPP)
				may_be = false;
		}
	}
	if (all_unsupported && a->ret != -EOPNOTSUPP)
		fail(a, "returned %d, has to be -EOPNOTSUPP", a->ret);
	if (!may_be && a->ret != -EIO)
		fail(a, "returned %d, has to be -EIO", a->ret);
	if (a->ret != -EIO && a->ret != -EOPNOTSUPP)
		fail(a, "returned %d", a->ret);
}

static void check_refused(struct attempt *a)
{
	unsigned int i;

	if (!a->refused && !a->may_be_refused)
		fail(a, "refused, has to be accepted");
	if (a->args.error_bits && a->error_bits)
		fail(a, "refused with error bits %#lx", a->error_bits);
	for (i = 0; i < ARRAY_SIZE(a->errors); i++)
		if (a->errors[i] != 0x55555555)
			fail(a, "refused, and error %u has been written", i);
	for (i = 0; i < run.num_targets; i++) {
		const struct target *t = &run.targets[i];

		if (t->used && t->strict && t->strict->num_requests)
			fail(a, "refused, and %s got a request", t->name);
	}
}

/* Returns whether the call has done anything. */
static bool check_result(struct attempt *a)
{
	if (is_async(a->call)) {
		if (atomic_read(&a->num_ends) != !a->ret)
			fail(a, "returned %d, and called back %d times", a->ret,
			     atomic_read(&a->num_ends));
		if (a->ret && a->ret != -EINVAL)
			fail(a, "returned %d", a->ret);
	}
	if (a->ret == -EINVAL) {
		check_refused(a);
		return false;
	}
	if (a->refused) {
		fail(a, "returned %d, has to be refused", a->ret);
		return true;
	}
	if (!is_async(a->call)) {
		a->error = a->error_bits;
		a->unsupported = a->unsupported_bits;
		check_sync_return(a);
	}
	if (is_async(a->call) || a->args.error_bits)
		check_bits(a);
	return true;
}

static bool is_zero(const u8 *bytes, unsigned int num)
{
	return !memchr_inv(bytes, 0, num);
}

/* Did the region fail? Without error bits, the device may tell. */
static bool has_failed(const struct attempt *a, unsigned int region)
{
	if (is_async(a->call) || a->args.error_bits)
		return a->error & BIT(region);
	return a->ret && (a->outcomes[region].must || a->outcomes[region].may);
}

/* What a read leaves in the buffer. */
static void check_read(struct attempt *a)
{
	const struct outcome *o = &a->outcomes[0];
	u64 bytes = min_t(u64, (u64)a->where_before[0].count << SECTOR_SHIFT,
			  a->available);
	const u8 *want;
	u64 i;

	if (!o->data || o->longer)
		return;
	if (!has_failed(a, 0)) {
		copy_buffer(a, run.image, 0, o->target->shadow + o->start, bytes,
			    true);
		return;
	}
	if (o->unfit) {
		memset(run.scratch, 0, bytes);
		copy_buffer(a, run.image, 0, run.scratch, bytes, true);
		return;
	}
	/* Each sector is what is on the disk, or it is zero. */
	want = o->target->shadow + o->start;
	copy_buffer(a, run.pool, 0, run.scratch, bytes, false);
	for (i = 0; i < bytes; i += SECTOR_SIZE) {
		unsigned int len = min_t(u64, SECTOR_SIZE, bytes - i);
		unsigned int bad;

		if (is_zero(run.scratch + i, len))
			continue;
		if (!equal_bytes(run.scratch + i, want + i, len)) {
			fail(a, "sector %llu, not zero and not right: %*ph, has to be %*ph",
			     i >> SECTOR_SHIFT, 16, run.scratch + i, 16, want + i);
			break;
		}
		for (bad = 0; o->target->strict && bad < STRICT_BADS; bad++) {
			const struct strict_bad *b = &o->target->strict->bad[bad];
			sector_t sector = (o->start + i) >> SECTOR_SHIFT;

			if (sector >= b->sector && sector < b->sector + b->count)
				fail(a, "sector %llu of a failed read was bad, and is not zero",
				     i >> SECTOR_SHIFT);
		}
	}
	copy_buffer(a, run.image, 0, run.scratch, bytes, true);
}

static void check_window(struct attempt *a)
{
	const u8 *want = run.image + a->window_from;
	const u8 *got = run.pool + a->window_from;
	unsigned int len = a->window_to - a->window_from, i, piece;
	u64 before = 0;

	if (equal_bytes(got, want, len))
		return;
	for (i = 0; got[i] == want[i]; i++)
		;
	i += a->window_from;
	for (piece = 0; piece < a->num_pieces; piece++) {
		const struct piece *p = &a->pieces[piece];

		if (i >= p->at && i < p->at + p->len) {
			fail(a, "byte %llu, %u.%u of the buffer: %*ph, has to be %*ph",
			     before + i - p->at, piece, i - p->at, 16,
			     run.pool + i, 16, run.image + i);
			return;
		}
		before += p->len;
	}
	fail(a, "byte %u of the pool, outside of the buffer, is %*ph, has to be %*ph",
	     i, 16, run.pool + i, 16, run.image + i);
}

/* What is on the disk instead. */
static const u8 *new_bytes(const struct attempt *a, u64 bytes)
{
	u8 byte = 0;

	switch ((__force enum req_op)(a->opf & REQ_OP_MASK)) {
	case REQ_OP_WRITE:
		return a->pattern;
	case REQ_OP_DISCARD:
		byte = TEST_DISK_DISCARDED;
		break;
	case REQ_OP_SECURE_ERASE:
		byte = TEST_DISK_ERASED;
		break;
	default:
		break;
	}
	memset(run.scratch, byte, bytes);
	return run.scratch;
}

static bool is_bad_sector(const struct target *t, sector_t sector)
{
	unsigned int i;

	for (i = 0; t->strict && i < STRICT_BADS; i++) {
		const struct strict_bad *bad = &t->strict->bad[i];

		if (sector >= bad->sector && sector < bad->sector + bad->count)
			return true;
	}
	return false;
}

/* Of a region that failed, each sector is old or new. */
static void check_failed_write(struct attempt *a, unsigned int region,
			       const u8 *got)
{
	const struct outcome *o = &a->outcomes[region];
	struct target *t = o->target;
	const u8 *new = new_bytes(a, o->bytes);
	u8 *old = t->shadow + o->start;
	bool failed = a->failed;
	u64 i;

	a->failed = false;

	for (i = 0; i < o->bytes; i += SECTOR_SIZE) {
		if (equal_bytes(got + i, old + i, SECTOR_SIZE))
			continue;
		/* What is left of the buffer is what there was to be written. */
		if (i + SECTOR_SIZE > a->available && a->moves_data)
			fail(a, "sector %llu of region %u was written out of nowhere",
			     i >> SECTOR_SHIFT, region);
		else if (!equal_bytes(got + i, new + i, SECTOR_SIZE))
			fail(a, "sector %llu of failed region %u is not old and not new: %*ph",
			     i >> SECTOR_SHIFT, region, 16, got + i);
		else if (is_bad_sector(t, (o->start + i) >> SECTOR_SHIFT))
			fail(a, "sector %llu of region %u is bad and was written",
			     i >> SECTOR_SHIFT, region);
		if (a->failed)
			return;
		memcpy(old + i, got + i, SECTOR_SIZE);
	}
	a->failed = failed;
}

/* What is on the disk where a region is, and has to be from now on. */
static void check_region(struct attempt *a, unsigned int region, const u8 *got)
{
	const struct outcome *o = &a->outcomes[region];
	u8 *want = o->target->shadow + o->start;
	u64 i;

	if (has_failed(a, region)) {
		check_failed_write(a, region, got);
		return;
	}
	/* What a real disk reads as after a discard, only it knows. */
	if (!o->target->strict && !a->moves_data &&
	    (a->opf & REQ_OP_MASK) != REQ_OP_WRITE_ZEROES) {
		memcpy(want, got, o->bytes);
		return;
	}
	memcpy(want, new_bytes(a, o->bytes), o->bytes);
	if (equal_bytes(got, want, o->bytes))
		return;
	for (i = 0; got[i] == want[i]; i++)
		;
	fail(a, "region %u on %s: byte %llu is %*ph, has to be %*ph", region,
	     o->target->name, i, 16, got + i, 16, want + i);
}

static bool is_written(const struct attempt *a, const struct target *t,
		       unsigned int region)
{
	const struct outcome *o = &a->outcomes[region];

	return o->target == t && o->data && !o->unfit;
}

/* Are all of these sectors of some region? */
static bool in_regions(const struct attempt *a, const struct target *t,
		       sector_t from, sector_t to)
{
	unsigned int i;

	for (i = 0; i < a->num_regions && from < to; i++) {
		const struct io_region *where = &a->where_before[i];

		if (!is_written(a, t, i) || from < where->sector ||
		    from >= where->sector + where->count)
			continue;
		/* The next one may have any index. */
		from = where->sector + where->count;
		i = -1;
	}
	return from >= to;
}

/* The bytes of the disk from @from to @to, which are sectors of it. */
static const u8 *disk_bytes(struct attempt *a, const struct target *t,
			    sector_t from, sector_t to)
{
	u8 *bytes = run.image;		/* not needed any more */
	int error;

	if (t->strict)
		return t->strict->data + (from << SECTOR_SHIFT);
	error = plain_io(t->bdev, REQ_OP_READ, from, bytes,
			 (to - from) << SECTOR_SHIFT);
	if (error)
		fail(a, "%s: cannot be read: %d", t->name, error);
	return bytes;
}

/* All of the disk that was to be touched, and what is around that. */
static void check_around(struct attempt *a, struct target *t, bool done)
{
	sector_t block = t->limits.block >> SECTOR_SHIFT;
	sector_t from = t->usable, to = 0;
	const u8 *got, *want;
	unsigned int i;

	for (i = 0; i < a->num_regions && i < BITS_PER_LONG; i++) {
		const struct io_region *where = &a->where_before[i];

		if (where->bdev != t->bdev || where->count > t->usable ||
		    where->sector > t->usable - where->count)
			continue;
		from = min(from, where->sector);
		to = max(to, where->sector + where->count);
	}
	if (t->strict) {
		from = min(from, t->strict->written_from);
		to = max(to, min(t->strict->written_to, t->usable));
	}
	if (from >= to)
		return;
	from = round_down(from, block);
	from -= min(from, block);
	to = min(round_up(to, block) + block, round_down(t->usable, block));
	if (from >= to)
		return;
	got = disk_bytes(a, t, from, to);
	for (i = 0; i < a->num_regions && done && is_write(a); i++)
		if (is_written(a, t, i))
			check_region(a, i, got + a->outcomes[i].start -
					   (from << SECTOR_SHIFT));
	want = t->shadow + (from << SECTOR_SHIFT);
	if (equal_bytes(got, want, (to - from) << SECTOR_SHIFT))
		return;
	for (i = 0; got[i] == want[i]; i++)
		;
	fail(a, "%s: byte %u of sector %llu is %*ph, has to be %*ph", t->name,
	     i % SECTOR_SIZE, (u64)from + i / SECTOR_SIZE, 16, got + i, 16,
	     want + i);
}

/* A strict disk knows what has been written. */
static void check_target(struct attempt *a, struct target *t, bool done)
{
	const struct strict_disk *strict = t->strict;
	unsigned int i;

	if (!strict || strict->num_ranges > STRICT_RANGES) {
		check_around(a, t, done);
		return;
	}
	if (!done || !is_write(a))
		return;
	for (i = 0; i < strict->num_ranges; i++)
		if (!in_regions(a, t, strict->ranges[i].from,
				strict->ranges[i].to))
			fail(a, "%s: sectors %llu to %llu, which are of no region, were written",
			     t->name, (u64)strict->ranges[i].from,
			     (u64)strict->ranges[i].to);
	for (i = 0; i < a->num_regions; i++)
		if (is_written(a, t, i))
			check_region(a, i, strict->data + a->outcomes[i].start);
}

/* What the requests were like. */
static void check_requests(struct attempt *a, const struct target *t)
{
	const struct strict_disk *strict = t->strict;
	blk_opf_t flags = 0;
	bool writes = false, flushes = false, failed = false;
	unsigned int i, atomics = 0;

	if (!is_write(a) && strict->num_ranges)
		fail(a, "%s: was written", t->name);
	for (i = 0; i < strict->num_wrong && i < STRICT_WRONGS; i++)
		fail(a, "%s: %s", t->name, strict->wrong[i]);
	if (a->failed)
		return;
	for (i = 0; i < NUM_PLAIN_FLAGS; i++)
		flags |= a->opf & plain_flags[i];
	if (!is_async(a->call))
		flags |= REQ_SYNC;
	if (~strict->all_opf & flags)
		fail(a, "%s: flags %#x of the call are missing", t->name,
		     (__force u32)(~strict->all_opf & flags));

	for (i = 0; i < a->num_regions; i++) {
		const struct outcome *o = &a->outcomes[i];

		if (o->target != t || !a->where_before[i].bdev)
			continue;
		if (o->must || has_failed(a, i)) {
			failed = true;
			continue;
		}
		writes |= o->data && is_write(a) && a->moves_data;
		flushes |= is_flush(a) || a->opf & REQ_PREFLUSH;
		atomics += o->data;
	}
	if (flushes && t->limits.cache && !strict->num_flushes)
		fail(a, "%s: was not flushed", t->name);
	/* No flush follows a write that fails. */
	if (writes && !failed && a->opf & REQ_FUA && t->limits.cache &&
	    strict->num_unflushed)
		fail(a, "%s: %u writes without FUA, and no flush behind them",
		     t->name, strict->num_unflushed);
	if (!is_flush(a) && !(a->opf & (REQ_PREFLUSH | REQ_FUA)) &&
	    strict->num_flushes)
		fail(a, "%s: was flushed", t->name);
	if (writes && wants_atomic(a) && strict->num_atomic < atomics)
		fail(a, "%s: %u atomic writes of %u", t->name, strict->num_atomic,
		     atomics);
	if (wants_atomic(a) && strict->num_atomic != strict->num_writes)
		fail(a, "%s: %u of %u writes were atomic", t->name,
		     strict->num_atomic, strict->num_writes);
}

static void check_arguments(struct attempt *a)
{
	if (!is_async(a->call) &&
	    memcmp(a->where, a->where_before, sizeof(a->where)))
		fail(a, "the regions have been changed");
	if (a->kind == OF_BIO && memcmp(&a->bio, &a->bio_before, sizeof(a->bio)))
		fail(a, "the bio has been changed");
}

void check_attempt(struct attempt *a)
{
	unsigned int i;
	bool done;

	done = check_result(a);
	if (done && (a->opf & REQ_OP_MASK) == REQ_OP_READ)
		check_read(a);
	check_window(a);
	check_arguments(a);
	for (i = 0; i < run.num_targets; i++) {
		struct target *t = &run.targets[i];

		if (!t->used)
			continue;
		check_target(a, t, done);
		if (t->strict && done)
			check_requests(a, t);
	}
}
