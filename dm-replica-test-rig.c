// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: a set on disks in memory, for its tests
 */
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/device-mapper.h>
#include <linux/highmem.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-replica-test-rig.h"

#define MAX_EVENTS	20000
#define LOG_BYTES	(24 * SZ_1M)

/*
 * The log. With the lock held.
 */

static struct rig_event *new_event(struct rig *rig, enum rig_event_kind kind)
{
	struct rig_event *event;

	if (rig->quiet)
		return NULL;
	if (rig->num_events == rig->max_events) {
		rig->full = true;
		return NULL;
	}
	event = &rig->events[rig->num_events++];
	*event = (struct rig_event) { .kind = kind };
	return event;
}

static u8 *copy_data(struct rig *rig, const struct bio *bio)
{
	u8 *data = rig->data + rig->used, *to = data;
	struct bvec_iter iter;
	struct bio_vec vec;

	if (rig->quiet)
		return NULL;
	if (bio->bi_iter.bi_size > rig->size - rig->used) {
		rig->full = true;
		return NULL;
	}
	bio_for_each_segment(vec, bio, iter) {
		memcpy_from_bvec(to, &vec);
		to += vec.bv_len;
	}
	rig->used += bio->bi_iter.bi_size;
	return data;
}

static void log_arrival(struct rig_leg *leg, const struct bio *bio)
{
	bool write = bio->bi_iter.bi_size;
	struct rig_event *event;

	if (!op_is_write(bio->bi_opf) || bio_op(bio) == REQ_OP_DISCARD)
		return;
	event = new_event(leg->rig, write ? RIG_WRITE : RIG_FLUSH);
	if (!event)
		return;
	event->leg = leg->nr;
	event->flush = bio->bi_opf & REQ_PREFLUSH;
	event->fua = bio->bi_opf & REQ_FUA;
	event->sector = bio->bi_iter.bi_sector;
	event->bytes = bio->bi_iter.bi_size;
	event->bio = bio;
	if (bio_op(bio) == REQ_OP_WRITE && write)
		event->data = copy_data(leg->rig, bio);
}

static void log_end(struct rig *rig, const struct bio *bio, bool failed)
{
	unsigned int i = rig->quiet ? 0 : rig->num_events;
	struct rig_event *event;

	while (i--) {
		if (rig->events[i].bio != bio || rig->events[i].end)
			continue;
		event = new_event(rig, RIG_END);
		if (event)
			event->of = i;
		rig->events[i].end = rig->num_events - 1;
		rig->events[i].failed = failed;
		return;
	}
}

void rig_begin_log(struct rig *rig)
{
	unsigned int leg;

	for (leg = 0; leg < RIG_LEGS; leg++)
		memcpy(rig->legs[leg].base, rig->legs[leg].disk->data,
		       RIG_LEG_BYTES);
	rig->num_events = 0;
	rig->used = 0;
	rig->full = false;
	/* No event has number 0: that is none. */
	new_event(rig, RIG_END);
}

/*
 * The legs
 */

static bool touches(const struct rig_fault *fault, const struct bio *bio)
{
	bool write = op_is_write(bio->bi_opf);

	return (write ? fault->writes : fault->reads) && bio_sectors(bio) &&
	       bio->bi_iter.bi_sector < fault->sector + fault->count &&
	       bio_end_sector(bio) > fault->sector;
}

static void move_data(struct rig_leg *leg, struct bio *bio)
{
	u8 *data = leg->disk->data + (bio->bi_iter.bi_sector << SECTOR_SHIFT);
	struct bvec_iter iter;
	struct bio_vec vec;

	if (bio_op(bio) == REQ_OP_DISCARD) {
		/* They need not agree on what is there afterwards. */
		memset(data, TEST_DISK_DISCARDED + leg->nr, bio->bi_iter.bi_size);
		return;
	}
	if (bio_op(bio) == REQ_OP_WRITE_ZEROES) {
		memset(data, 0, bio->bi_iter.bi_size);
		return;
	}
	bio_for_each_segment(vec, bio, iter) {
		if (op_is_write(bio->bi_opf))
			memcpy_from_bvec(data, &vec);
		else
			memcpy_to_bvec(&vec, data);
		data += vec.bv_len;
	}
}

static void end_leg_bio(struct bio *bio)
{
	struct test_disk *disk = bio->bi_bdev->bd_disk->private_data;
	struct rig_leg *leg = disk->map_context;
	struct rig *rig = leg->rig;
	unsigned long flags;

	spin_lock_irqsave(&rig->lock, flags);
	if (touches(&leg->fault, bio)) {
		bio->bi_status = leg->fault.status ?: BLK_STS_IOERR;
		if (leg->fault.once)
			leg->fault = (struct rig_fault) { };
	}
	if (!bio->bi_status)
		move_data(leg, bio);
	log_end(rig, bio, bio->bi_status);
	spin_unlock_irqrestore(&rig->lock, flags);
	bio_endio(bio);
}

/* Of what waits, some other one each time. */
static void end_pending(struct work_struct *work)
{
	struct rig *rig = container_of(work, struct rig, work);

	for (;;) {
		struct bio_list rest = BIO_EMPTY_LIST;
		struct bio *bio, *chosen = NULL;
		unsigned int skip;

		spin_lock_irq(&rig->lock);
		skip = prandom_u32_state(&rig->random) % 4;
		while ((bio = bio_list_pop(&rig->pending))) {
			if (!chosen && (!skip-- || !rig->pending.head))
				chosen = bio;
			else
				bio_list_add(&rest, bio);
		}
		rig->pending = rest;
		spin_unlock_irq(&rig->lock);
		if (!chosen)
			return;
		end_leg_bio(chosen);
	}
}

static void map_leg(struct test_disk *disk, struct bio *bio)
{
	struct rig_leg *leg = disk->map_context;
	struct rig *rig = leg->rig;
	bool wait = false;
	unsigned long flags;

	spin_lock_irqsave(&rig->lock, flags);
	if (op_is_write(bio->bi_opf))
		leg->num_writes++;
	else
		leg->num_reads++;
	if (bio_op(bio) == REQ_OP_WRITE_ZEROES)
		leg->num_zeroes++;
	if (bio_op(bio) == REQ_OP_DISCARD)
		leg->num_discards++;
	log_arrival(leg, bio);
	if (op_is_write(bio->bi_opf) && leg->fail_write && !--leg->fail_write)
		bio->bi_status = leg->fail_status ?: BLK_STS_IOERR;
	if (op_is_write(bio->bi_opf) && leg->hang_write && !--leg->hang_write)
		leg->hangs = true;
	if (leg->hangs) {
		bio_list_add(&leg->hung, bio);
		wait = true;
	} else if (rig->shuffle && prandom_u32_state(&rig->random) % 4) {
		bio_list_add(&rig->pending, bio);
		schedule_work(&rig->work);
		wait = true;
	}
	spin_unlock_irqrestore(&rig->lock, flags);
	if (!wait)
		end_leg_bio(bio);
}

void rig_release(struct rig *rig, unsigned int leg)
{
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&rig->lock);
	rig->legs[leg].hangs = false;
	rig->legs[leg].hang_write = 0;
	bios = rig->legs[leg].hung;
	bio_list_init(&rig->legs[leg].hung);
	spin_unlock_irq(&rig->lock);
	while ((bio = bio_list_pop(&bios)))
		end_leg_bio(bio);
}

/*
 * The disk in front
 */

struct front_bio {
	struct replica_io io;
	struct bio clone;
};

static void front_end(struct bio *clone)
{
	struct front_bio *front = container_of(clone, struct front_bio, clone);
	struct bio *bio = clone->bi_private;
	blk_status_t status = clone->bi_status;

	if (replica_end_io(&front->io, &status) == DM_ENDIO_INCOMPLETE)
		return;
	bio->bi_status = status;
	bio_put(clone);
	bio_endio(bio);
}

static void map_front(struct test_disk *disk, struct bio *bio)
{
	struct rig *rig = disk->map_context;
	struct bio *clone = bio_alloc_clone(bio->bi_bdev, bio, GFP_NOIO,
					    &rig->bios);
	struct front_bio *front = container_of(clone, struct front_bio, clone);

	front->io.set = rig->set;
	front->io.bio = clone;
	clone->bi_private = bio;
	clone->bi_end_io = front_end;
	switch (replica_map_io(&front->io)) {
	case DM_MAPIO_REMAPPED:
		submit_bio_noacct(clone);
		break;
	case DM_MAPIO_KILL:
		bio_io_error(clone);
		break;
	}
}

/*
 * Data: each sector is full of its own number and of a version
 */

void rig_fill(u8 *data, sector_t sector, sector_t count, u32 version)
{
	u64 *word = (u64 *)data;
	unsigned int i;

	for (; count--; sector++)
		for (i = 0; i < SECTOR_SIZE / sizeof(*word); i++)
			*word++ = (u64)sector << 32 | version;
}

/* U32_MAX if it is none. */
u32 rig_version_of(const u8 *data, sector_t sector)
{
	const u64 *word = (const u64 *)data;
	unsigned int i;

	for (i = 0; i < SECTOR_SIZE / sizeof(*word); i++)
		if (word[i] != word[0] || word[i] >> 32 != sector)
			return U32_MAX;
	return (u32)word[0];
}

/*
 * Bios
 */

static void end_rig_io(struct bio *bio)
{
	struct rig_io *io = bio->bi_private;
	struct rig *rig = io->rig;
	struct rig_event *event = NULL;
	unsigned long flags;

	spin_lock_irqsave(&rig->lock, flags);
	if (!bio->bi_status && op_is_write(bio->bi_opf) &&
	    bio_op(bio) == REQ_OP_WRITE) {
		event = new_event(rig, io->version ? RIG_ACK : RIG_FLUSHED);
		if (event) {
			event->of = io->issued;
			event->fua = bio->bi_opf & REQ_FUA;
			event->version = io->version;
		}
		if (event && io->version && bio->bi_opf & REQ_PREFLUSH) {
			event = new_event(rig, RIG_FLUSHED);
			if (event)
				event->of = io->issued;
		}
	}
	spin_unlock_irqrestore(&rig->lock, flags);
	io->error = blk_status_to_errno(bio->bi_status);
	complete(&io->ended);
}

struct rig_io *rig_start(struct rig *rig, blk_opf_t opf, sector_t sector,
			 sector_t count)
{
	bool data = (opf & REQ_OP_MASK) == REQ_OP_WRITE ||
		    (opf & REQ_OP_MASK) == REQ_OP_READ;
	struct rig_io *io = kzalloc(sizeof(*io), GFP_KERNEL);
	size_t bytes = count << SECTOR_SHIFT, done;
	struct rig_event *event;

	io->rig = rig;
	io->sector = sector;
	init_completion(&io->ended);
	io->bio = bio_alloc(rig->front->bdev, BIO_MAX_VECS, opf, GFP_KERNEL);
	io->bio->bi_iter.bi_sector = sector;
	io->bio->bi_private = io;
	io->bio->bi_end_io = end_rig_io;
	if (count && data) {
		io->data = kmalloc(bytes, GFP_KERNEL);
		for (done = 0; done < bytes; done += RIG_BLOCK)
			WARN_ON(!bio_add_page(io->bio,
					      virt_to_page(io->data + done),
					      min_t(size_t, RIG_BLOCK,
						    bytes - done),
					      offset_in_page(io->data + done)));
	} else {
		io->bio->bi_iter.bi_size = bytes;
	}

	spin_lock_irq(&rig->lock);
	if (count && (opf & REQ_OP_MASK) == REQ_OP_WRITE) {
		io->version = ++rig->version;
		rig_fill(io->data, sector, count, io->version);
		event = new_event(rig, RIG_ISSUE);
		if (event) {
			event->sector = sector;
			event->bytes = bytes;
			event->version = io->version;
		}
	}
	io->issued = rig->num_events - 1;
	spin_unlock_irq(&rig->lock);
	submit_bio(io->bio);
	return io;
}

/* Returns -ETIME if it does not end; what belongs to it is lost then. */
int rig_finish(struct rig_io *io)
{
	int error;

	if (!wait_for_completion_timeout(&io->ended, RIG_LIMIT)) {
		KUNIT_FAIL(io->rig->test, "a bio has not ended");
		return -ETIME;
	}
	error = io->error;
	bio_put(io->bio);
	kfree(io->data);
	kfree(io);
	return error;
}

int rig_write(struct rig *rig, sector_t sector, sector_t count, blk_opf_t flags)
{
	return rig_finish(rig_start(rig, REQ_OP_WRITE | flags, sector, count));
}

int rig_flush(struct rig *rig)
{
	return rig_finish(rig_start(rig, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0));
}

int rig_read(struct rig *rig, sector_t sector, sector_t count, u8 *data)
{
	struct rig_io *io = rig_start(rig, REQ_OP_READ, sector, count);

	if (!wait_for_completion_timeout(&io->ended, RIG_LIMIT)) {
		KUNIT_FAIL(rig->test, "a read has not ended");
		return -ETIME;
	}
	memcpy(data, io->data, count << SECTOR_SHIFT);
	complete(&io->ended);
	return rig_finish(io);
}

/*
 * The set
 */

bool rig_load(struct rig *rig, const struct rig_load *load)
{
	struct replica_set *set = kzalloc(sizeof(*set), GFP_KERNEL);
	unsigned int leg;

	rig->error = "Out of memory";
	if (!set)
		return false;
	replica_init(set);
	set->name = "test";
	set->num_legs = RIG_LEGS;
	set->len = RIG_SECTORS;
	set->create = load->create;
	set->degraded = load->degraded;
	set->clear_interval = 1;
	set->present = load->present;
	for_each_leg(leg, set->present)
		set->legs[leg].bdev = rig->legs[leg].disk->bdev;
	if (!replica_alloc(set))
		rig->error = replica_load(set);
	if (!rig->error && replica_resume(set, load->read_only))
		rig->error = "It cannot be resumed";
	if (rig->error) {
		replica_free(set);
		kfree(set);
		return false;
	}
	replica_run(set, load->read_only);
	rig->set = set;
	return true;
}

void rig_unload(struct rig *rig)
{
	unsigned int leg;

	if (!rig->set)
		return;
	for (leg = 0; leg < RIG_LEGS; leg++)
		rig_release(rig, leg);
	replica_suspend(rig->set);
	replica_free(rig->set);
	kfree(rig->set);
	rig->set = NULL;
}

bool rig_is_idle(struct rig *rig)
{
	struct replica_set *set = rig->set;
	bool idle;

	spin_lock_irq(&set->lock);
	idle = !set->slow && !set->requested && !set->rebuilding &&
	       !set->stale && !(set->running && replica_wants_copy(set));
	spin_unlock_irq(&set->lock);
	return idle;
}

void rig_await_idle(struct rig *rig)
{
	unsigned long end = jiffies + RIG_LIMIT;

	while (!rig_is_idle(rig)) {
		if (time_after(jiffies, end)) {
			KUNIT_FAIL(rig->test,
				   "the set does not become idle: live %lx rebuilding %lx requested %lx slow %d stale %d dirty %d differ %lu todo %lu failed %d running %d",
				   rig->set->live, rig->set->rebuilding,
				   rig->set->requested, rig->set->slow,
				   rig->set->stale, rig->set->dirty_recorded,
				   rig->set->num_differ, rig->set->num_todo,
				   rig->set->record_failed, rig->set->running);
			return;
		}
		usleep_range(100, 500);
	}
}

/* Until no bit is set on the legs. */
void rig_await_clear(struct rig *rig)
{
	unsigned long end = jiffies + RIG_LIMIT;
	unsigned int leg;
	bool clear;

	do {
		usleep_range(500, 1000);
		clear = true;
		for (leg = 0; leg < RIG_LEGS; leg++)
			if (memchr_inv(rig->legs[leg].disk->data + SZ_64K, 0,
				       SZ_4K))
				clear = false;
	} while (!clear && time_before(jiffies, end));
	KUNIT_EXPECT_TRUE_MSG(rig->test, clear, "bits are not cleared");
}

const char *rig_states(struct rig *rig, char *states)
{
	struct replica_set *set = rig->set;
	unsigned int leg;

	spin_lock_irq(&set->lock);
	for (leg = 0; leg < RIG_LEGS; leg++)
		states[leg] = set->live & BIT(leg) ? 'A' :
			      set->rebuilding & BIT(leg) ? 'R' : 'D';
	spin_unlock_irq(&set->lock);
	states[leg] = '\0';
	return states;
}

void rig_make(struct rig *rig)
{
	struct rig_load load = { .present = RIG_ALL, .create = true };

	KUNIT_ASSERT_TRUE_MSG(rig->test, rig_load(rig, &load), "%s", rig->error);
	rig_await_idle(rig);
}

/* It has to be accepted. */
void rig_reload(struct rig *rig, unsigned long present)
{
	struct rig_load load = { .present = present };

	rig_unload(rig);
	KUNIT_ASSERT_TRUE_MSG(rig->test, rig_load(rig, &load), "%s", rig->error);
}

/*
 * Power cuts
 */

static bool is_before(unsigned int event, unsigned int cut)
{
	return event && event < cut;
}

static bool is_done(const struct rig_event *event, unsigned int cut)
{
	return is_before(event->end, cut) && !event->failed;
}

/*
 * The last event that a flush came after, which has ended before the cut. A write
 * that comes with a flush, and has not ended or has failed, has been done after it or
 * not at all.
 */
static unsigned int flushed_until(struct rig *rig, unsigned int leg,
				  unsigned int cut, enum rig_keep keep)
{
	unsigned int i = cut, flushed = 0;

	while (i--) {
		struct rig_event *event = &rig->events[i];

		if (event->kind > RIG_FLUSH || event->leg != leg)
			continue;
		if (event->flush && !is_done(event, cut)) {
			event->kept = keep == RIG_EVERYTHING ||
				      (keep == RIG_ANYTHING &&
				       prandom_u32_state(&rig->random) % 2);
			flushed = max(flushed, event->kept ? i : 0);
		}
		if ((event->kind == RIG_FLUSH || event->flush) &&
		    is_done(event, cut))
			return max(flushed, i);
	}
	return flushed;
}

static void keep_part(struct rig *rig, u8 *data, const struct rig_event *event)
{
	unsigned int done;

	for (done = 0; done < event->bytes; done += SECTOR_SIZE)
		if (prandom_u32_state(&rig->random) % 2)
			memcpy(data + done, event->data + done, SECTOR_SIZE);
}

static void cut_leg(struct rig *rig, struct rig_leg *leg, unsigned int cut,
		    enum rig_keep keep)
{
	unsigned int flushed = flushed_until(rig, leg->nr, cut, keep), i;
	u8 *image = leg->disk->data;

	memcpy(image, leg->base, RIG_LEG_BYTES);
	for (i = 0; i < cut; i++) {
		const struct rig_event *event = &rig->events[i];
		u8 *data = image + (event->sector << SECTOR_SHIFT);
		bool done = is_done(event, cut);

		if (event->kind != RIG_WRITE || event->leg != leg->nr ||
		    !event->data)
			continue;
		if (event->flush && !done && !event->kept)
			continue;
		/* Reads have not found it, and a flush made that last. */
		if (event->failed && event->end < flushed)
			continue;
		if ((done && (event->fua || event->end < flushed)) ||
		    keep == RIG_EVERYTHING)
			memcpy(data, event->data, event->bytes);
		else if (keep == RIG_ANYTHING)
			keep_part(rig, data, event);
	}
}

void rig_cut(struct rig *rig, unsigned int cut, enum rig_keep keep)
{
	unsigned int leg;

	for (leg = 0; leg < RIG_LEGS; leg++)
		cut_leg(rig, &rig->legs[leg], cut, keep);
}

void rig_promises(struct rig *rig, unsigned int cut, struct rig_sector *sectors)
{
	unsigned int i, j;

	memcpy(sectors, rig->sectors, sizeof(rig->sectors));
	for (i = 0; i < cut; i++) {
		const struct rig_event *event = &rig->events[i];
		const struct rig_event *of = &rig->events[event->of];

		switch (event->kind) {
		case RIG_ISSUE:
			for (j = 0; j < event->bytes >> SECTOR_SHIFT; j++)
				sectors[event->sector + j].issued =
					event->version;
			break;
		case RIG_ACK:
			for (j = 0; j < of->bytes >> SECTOR_SHIFT; j++) {
				struct rig_sector *sector =
					&sectors[of->sector + j];

				sector->acked = event->version;
				if (event->fua)
					sector->floor = max(sector->floor,
							    event->version);
			}
			break;
		case RIG_FLUSHED:
			/* What was acknowledged before the flush was issued. */
			for (j = 0; j <= event->of; j++) {
				const struct rig_event *ack = &rig->events[j];
				unsigned int k;

				if (ack->kind != RIG_ACK)
					continue;
				of = &rig->events[ack->of];
				for (k = 0; k < of->bytes >> SECTOR_SHIFT; k++) {
					struct rig_sector *sector =
						&sectors[of->sector + k];

					sector->floor = max(sector->floor,
							    ack->version);
				}
			}
			break;
		default:
			break;
		}
	}
}

int rig_check(struct rig *rig, const struct rig_sector *sectors, u8 *data)
{
	sector_t sector;

	for (sector = 0; sector < RIG_SECTORS; sector += 64)
		if (rig_read(rig, sector, 64, data + (sector << SECTOR_SHIFT)))
			return sector;
	for (sector = 0; sector < RIG_SECTORS; sector++) {
		u32 version = rig_version_of(data + (sector << SECTOR_SHIFT),
					     sector);

		if (version < sectors[sector].floor ||
		    version > sectors[sector].issued)
			return sector;
	}
	return -1;
}

int rig_compare(struct rig *rig)
{
	unsigned long live = READ_ONCE(rig->set->live);
	unsigned int first = __ffs(live), leg;
	sector_t sector;

	for_each_leg(leg, live)
		for (sector = RESERVED_SECTORS; sector < RIG_LEG_SECTORS; sector++)
			if (memcmp(rig->legs[first].disk->data +
				   (sector << SECTOR_SHIFT),
				   rig->legs[leg].disk->data +
				   (sector << SECTOR_SHIFT), SECTOR_SIZE))
				return sector - RESERVED_SECTORS;
	return -1;
}

/*
 * Creation
 */

static int set_up(struct rig *rig)
{
	unsigned int leg;
	int ret;

	for (leg = 0; leg < RIG_LEGS; leg++) {
		struct rig_leg *of = &rig->legs[leg];

		of->rig = rig;
		of->nr = leg;
		of->disk = test_disk_create();
		of->base = vzalloc(RIG_LEG_BYTES);
		if (!of->disk || !of->base)
			return -ENOMEM;
		ret = test_disk_set_up(of->disk, &(struct test_disk_layout) {
			.num_sectors = RIG_LEG_SECTORS,
			.discard_sectors = 1024,
			.discard_granularity = 512,
			.zeroes_sectors = 1024,
		});
		if (ret)
			return ret;
		of->disk->map = map_leg;
		of->disk->map_context = of;
		/* The first leg's content counts, the others are to be made equal. */
		if (!leg)
			rig_fill(of->disk->data + RESERVED_SECTORS * SECTOR_SIZE,
				 0, RIG_SECTORS, 0);
	}
	rig->front = test_disk_create();
	if (!rig->front)
		return -ENOMEM;
	ret = test_disk_set_up(rig->front, &(struct test_disk_layout) {
		.num_sectors = RIG_SECTORS,
		.no_data = true,
		.discard_sectors = 1024,
		.discard_granularity = 512,
		.zeroes_sectors = 1024,
	});
	rig->front->map = map_front;
	rig->front->map_context = rig;
	return ret ?: bioset_init(&rig->bios, 16,
				  offsetof(struct front_bio, clone), 0);
}

struct rig *rig_create(struct kunit *test)
{
	struct rig *rig = vzalloc(sizeof(*rig));

	if (!rig)
		return NULL;
	rig->test = test;
	spin_lock_init(&rig->lock);
	INIT_WORK(&rig->work, end_pending);
	prandom_seed_state(&rig->random, 1);
	rig->max_events = MAX_EVENTS;
	rig->events = vzalloc(array_size(MAX_EVENTS, sizeof(*rig->events)));
	rig->size = LOG_BYTES;
	rig->data = vmalloc(LOG_BYTES);
	rig->has_reserve = !dm_io_get(RESERVE_PAGES);
	if (!rig->events || !rig->data || !rig->has_reserve || set_up(rig)) {
		rig_destroy(rig);
		return NULL;
	}
	rig_begin_log(rig);
	return rig;
}

void rig_destroy(struct rig *rig)
{
	unsigned int leg;

	rig_unload(rig);
	flush_work(&rig->work);
	if (rig->front)
		test_disk_destroy(rig->front);
	for (leg = 0; leg < RIG_LEGS; leg++) {
		if (rig->legs[leg].disk)
			test_disk_destroy(rig->legs[leg].disk);
		vfree(rig->legs[leg].base);
	}
	if (rig->has_reserve)
		dm_io_put(RESERVE_PAGES);
	bioset_exit(&rig->bios);
	vfree(rig->events);
	vfree(rig->data);
	vfree(rig);
}
