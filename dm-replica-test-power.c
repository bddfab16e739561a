// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: what is left of a set after a power cut, and what it makes of it
 *
 * The promise: what was acknowledged is read, or the table is refused, or somebody
 * has said in it that he accepts the loss.
 *
 * One test goes through a history that has everything in it, and cuts the power
 * before each event in its log: also in the middle of writing superblocks and bits.
 * The other one makes up histories. It prints its seed, from which it can be
 * repeated: dm_io_kunit.replica_seed=, and dm_io_kunit.replica_histories= is how many
 * of them there are.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-replica-test-rig.h"

static unsigned int replica_histories = 20;
module_param(replica_histories, uint, 0444);
MODULE_PARM_DESC(replica_histories, "Number of random histories of a set");

static unsigned int replica_seed = 1;
module_param(replica_seed, uint, 0444);
MODULE_PARM_DESC(replica_seed, "Seed of the first of them; 0 is a new one");

struct power {
	struct rig *rig;
	struct rig_sector *sectors;	/* what may be read now */
	u8 *data, *again;
	u8 *saved[RIG_LEGS];
	u32 seed;
	unsigned int step;
	bool loss;			/* somebody has accepted it */
	bool degraded;			/* by the table of now */
	char last[64];
};

static int start_test(struct kunit *test)
{
	struct power *power = kunit_kzalloc(test, sizeof(*power), GFP_KERNEL);
	size_t bytes = RIG_SECTORS << SECTOR_SHIFT;
	unsigned int leg;

	if (!power)
		return -ENOMEM;
	test->priv = power;
	power->rig = rig_create(test);
	power->sectors = vzalloc(sizeof(power->rig->sectors));
	power->data = vmalloc(bytes);
	power->again = vmalloc(bytes);
	for (leg = 0; leg < RIG_LEGS; leg++) {
		power->saved[leg] = vmalloc(RIG_LEG_BYTES);
		if (!power->saved[leg])
			return -ENOMEM;
	}
	return power->rig && power->sectors && power->data && power->again ?
	       0 : -ENOMEM;
}

static void end_test(struct kunit *test)
{
	struct power *power = test->priv;
	unsigned int leg;

	if (!power)
		return;
	if (power->rig)
		rig_destroy(power->rig);
	vfree(power->sectors);
	vfree(power->data);
	vfree(power->again);
	for (leg = 0; leg < RIG_LEGS; leg++)
		vfree(power->saved[leg]);
}

#define EXPECT(of, condition, fmt, ...)					\
do {									\
	struct power *power_ = (of);					\
									\
	KUNIT_EXPECT_TRUE_MSG(power_->rig->test, condition,		\
			      "seed %u, step %u, %s: " fmt,		\
			      power_->seed, power_->step,		\
			      power_->last, ##__VA_ARGS__);		\
} while (0)

/* Read it all: is it what was promised? Does it stay? And are legs equal then? */
static void check_data(struct power *power)
{
	struct rig *rig = power->rig;
	int bad = rig_check(rig, power->sectors, power->data);

	EXPECT(power, bad < 0, "sector %d: version %u, not %u to %u", bad,
	       rig_version_of(power->data + bad * SECTOR_SIZE, bad),
	       power->sectors[max(bad, 0)].floor,
	       power->sectors[max(bad, 0)].issued);
	rig_await_idle(rig);
	bad = rig_check(rig, power->sectors, power->again);
	EXPECT(power, bad < 0, "sector %d changes", bad);
	EXPECT(power, !memcmp(power->data, power->again,
			      RIG_SECTORS << SECTOR_SHIFT),
	       "what was read changes without a write");
	bad = rig_compare(rig);
	EXPECT(power, bad < 0, "live legs differ in sector %d", bad);
}

/* With that, what has been read is what there is. */
static void rebase(struct power *power)
{
	sector_t sector;

	for (sector = 0; sector < RIG_SECTORS; sector++) {
		u32 version = rig_version_of(power->data + sector * SECTOR_SIZE,
					     sector);

		power->sectors[sector].floor = version;
		power->sectors[sector].acked = version;
	}
}

/*
 * Each prefix
 */

/* A history that has everything in it. */
static void live_through(struct rig *rig)
{
	struct rig_io *ios[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		ios[i] = rig_start(rig, REQ_OP_WRITE | (i % 2 ? REQ_FUA : 0),
				   i * 100, 4);
	for (i = 0; i < 4; i++)
		rig_finish(ios[i]);
	rig_flush(rig);
	rig->legs[1].fail_write = 2;
	for (i = 0; i < 4; i++)
		rig_write(rig, i * 100, 2 + i, i % 2 ? REQ_FUA : 0);
	rig_flush(rig);
	replica_rebuild_leg(rig->set, 1);
	rig_write(rig, 70, 9, REQ_FUA);
	rig_await_idle(rig);
	rig_await_clear(rig);
	replica_fail_leg(rig->set, 0);
	rig_write(rig, 70, 3, REQ_FUA);
	rig_write(rig, 700, 3, REQ_FUA);
	replica_rebuild_leg(rig->set, 0);
	rig_write(rig, 705, 3, REQ_FUA);
	rig_await_idle(rig);
	rig_write(rig, 700, 3, REQ_FUA);
	replica_suspend(rig->set);
	replica_run(rig->set, false);
	rig_write(rig, 300, 9, REQ_PREFLUSH | REQ_FUA);
}

static void check_cut(struct power *power, unsigned int cut, enum rig_keep keep)
{
	static const unsigned long subsets[] = { 7, 1, 2, 4, 3, 5, 6 };
	struct rig *rig = power->rig;
	unsigned int i, leg;

	rig_promises(rig, cut, power->sectors);
	rig_cut(rig, cut, keep);
	for (leg = 0; leg < RIG_LEGS; leg++)
		memcpy(power->saved[leg], rig->legs[leg].disk->data,
		       RIG_LEG_BYTES);
	/* All of them, and one of the other subsets. */
	for (i = 0; i < 2; i++) {
		struct rig_load load = {
			.present = subsets[i ? 1 + cut % 6 : 0],
		};

		snprintf(power->last, sizeof(power->last),
			 "cut %u keep %u legs %lx", cut, keep, load.present);
		power->step = cut;
		for (leg = 0; leg < RIG_LEGS && i; leg++)
			memcpy(rig->legs[leg].disk->data, power->saved[leg],
			       RIG_LEG_BYTES);
		if (rig_load(rig, &load)) {
			check_data(power);
			rig_unload(rig);
		} else {
			EXPECT(power, i, "refused: %s", rig->error);
		}
	}
}

static void every_prefix(struct kunit *test)
{
	struct power *power = test->priv;
	struct rig *rig = power->rig;
	unsigned int num, cut;

	rig_make(rig);
	rig_write(rig, 0, 64, REQ_FUA);
	rig_unload(rig);
	for (cut = 0; cut < 64; cut++) {
		rig->sectors[cut].floor = 1;
		rig->sectors[cut].issued = 1;
	}
	rig_begin_log(rig);
	rig->shuffle = true;
	rig_reload(rig, RIG_ALL);
	live_through(rig);
	num = rig->num_events;
	rig_unload(rig);
	KUNIT_ASSERT_FALSE(test, rig->full);
	KUNIT_EXPECT_GT(test, num, 150);

	/* What happens afterwards would overwrite it. */
	rig->quiet = true;
	rig->shuffle = false;
	for (cut = 1; cut <= num && test->status != KUNIT_FAILURE; cut++)
		check_cut(power, cut, cut % 3);
}

/*
 * Random histories
 */

static u32 random(struct power *power, u32 limit)
{
	return prandom_u32_state(&power->rig->random) % limit;
}

static void write_some(struct power *power)
{
	struct rig *rig = power->rig;
	struct rig_io *ios[3];
	unsigned int num = 1 + random(power, 3), i;
	/* Not twice the same at the same time. */
	sector_t sector = random(power, RIG_SECTORS / 4);

	for (i = 0; i < num; i++) {
		ios[i] = rig_start(rig, REQ_OP_WRITE |
				   (random(power, 2) ? REQ_FUA : 0) |
				   (random(power, 8) ? 0 : REQ_PREFLUSH),
				   sector, 1 + random(power, 16));
		sector += 16 + random(power, RIG_SECTORS / 8);
	}
	for (i = 0; i < num; i++)
		rig_finish(ios[i]);
}

/* One thing that may happen to a set. */
static void do_something(struct power *power)
{
	struct rig *rig = power->rig;
	unsigned int leg = random(power, RIG_LEGS);

	power->step++;
	switch (random(power, 12)) {
	case 0:
		rig_flush(rig);
		break;
	case 1:
		replica_fail_leg(rig->set, leg);
		break;
	case 2:
	case 3:
		replica_rebuild_leg(rig->set, leg);
		break;
	case 4:
		rig->legs[leg].fail_write = 1 + random(power, 6);
		rig->legs[leg].fail_status = random(power, 3) ?
					     BLK_STS_IOERR : BLK_STS_RESOURCE;
		break;
	case 5:
		rig_await_idle(rig);
		break;
	case 6:
		replica_suspend(rig->set);
		replica_run(rig->set, false);
		break;
	case 7:
		usleep_range(100, 2000);
		break;
	case 8:
		rig->legs[leg].fault = (struct rig_fault) {
			.sector = RESERVED_SECTORS + random(power, RIG_SECTORS),
			.count = random(power, 2) * (1 + random(power, 4)),
			.reads = true,
		};
		break;
	default:
		write_some(power);
		break;
	}
}

static void heal_legs(struct rig *rig)
{
	unsigned int leg;

	for (leg = 0; leg < RIG_LEGS; leg++) {
		rig->legs[leg].fail_write = 0;
		rig->legs[leg].fault = (struct rig_fault) { };
	}
}

static void accept_loss(struct power *power)
{
	unsigned int i;

	power->loss = true;
	for (i = 0; i < RIG_SECTORS; i++)
		power->sectors[i].floor = 0;
}

/* Before @cut, has somebody been told that something is on the set? */
static bool any_ack(const struct rig *rig, unsigned int cut)
{
	unsigned int i;

	for (i = 0; i < cut; i++)
		if (rig->events[i].kind == RIG_ACK)
			return true;
	return false;
}

/* Load what there is, in some way. Returns false if the history ends here. */
static bool load_somehow(struct power *power)
{
	struct rig *rig = power->rig;
	struct rig_load load = { .present = RIG_ALL };
	unsigned int leg = random(power, RIG_LEGS);
	bool all;

	if (!random(power, 3)) {
		load.present = 1 + random(power, RIG_ALL);
	} else if (!random(power, 3)) {
		rig->legs[leg].fault = (struct rig_fault) {
			.count = 8, .reads = true,
		};
	}
	power->degraded = false;
	snprintf(power->last, sizeof(power->last), "legs %lx, unreadable %x",
		 load.present, rig->legs[leg].fault.reads ? (1 << leg) : 0);
	all = load.present == RIG_ALL && !rig->legs[leg].fault.reads;
	if (rig_load(rig, &load)) {
		/*
		 * Once somebody has gone on without a leg, there may be two
		 * histories. Without all legs, one does not know of the other.
		 */
		if (power->loss && !all)
			accept_loss(power);
		return true;
	}
	if (random(power, 5) == 0) {
		load.degraded = true;
		if (rig_load(rig, &load)) {
			accept_loss(power);
			power->degraded = true;
			return true;
		}
	}
	heal_legs(rig);
	load = (struct rig_load) { .present = RIG_ALL };
	snprintf(power->last, sizeof(power->last), "all legs");
	if (rig_load(rig, &load))
		return true;
	/* Only whoever has once gone on without a leg may find this. */
	EXPECT(power, power->loss, "refused: %s", rig->error);
	return false;
}

static void live_a_life(struct power *power)
{
	struct rig *rig = power->rig;
	unsigned int i, leg, period;

	prandom_seed_state(&rig->random, power->seed);
	power->step = 0;
	power->loss = false;
	power->degraded = false;
	rig->shuffle = false;
	rig->version = 0;
	strscpy(power->last, "creation", sizeof(power->last));
	for (leg = 0; leg < RIG_LEGS; leg++) {
		memset(rig->legs[leg].disk->data, leg ? 0x11 * leg : 0,
		       RIG_LEG_BYTES);
		if (!leg)
			rig_fill(rig->legs[leg].disk->data + SZ_1M, 0,
				 RIG_SECTORS, 0);
	}
	memset(power->sectors, 0, sizeof(rig->sectors));
	rig_begin_log(rig);
	rig_load(rig, &(struct rig_load) { .present = RIG_ALL, .create = true });

	for (period = 0; period < 5 && rig->set; period++) {
		unsigned int first, cut;

		check_data(power);
		if (rig->test->status == KUNIT_FAILURE)
			break;
		rebase(power);
		memcpy(rig->sectors, power->sectors, sizeof(rig->sectors));
		/*
		 * What has been read was flushed with the resync, or was flushed
		 * before: only then is it what has to be there later.
		 */
		rig_flush(rig);
		first = rig->num_events;
		rig->shuffle = true;
		for (i = random(power, 14); i && !rig->full; i--)
			do_something(power);
		rig->shuffle = false;
		cut = rig->num_events;
		if (random(power, 4)) {
			cut = first + random(power, cut - first + 1);
			rig_unload(rig);
			rig_promises(rig, cut, power->sectors);
			rig_cut(rig, cut, random(power, 3));
		} else {
			rig_unload(rig);
			/* In good order, nothing is lost. */
			rig_promises(rig, rig->num_events, power->sectors);
		}
		/*
		 * Until something is written, legs that are given up are not lost, and
		 * with them, what was read may be older again.
		 */
		if (power->degraded && !any_ack(rig, cut))
			accept_loss(power);
		heal_legs(rig);
		rig_begin_log(rig);
		if (!load_somehow(power))
			break;
		heal_legs(rig);
	}
	rig_unload(rig);
	heal_legs(rig);
}

static void random_histories(struct kunit *test)
{
	struct power *power = test->priv;
	unsigned int i;

	power->seed = replica_seed ?: get_random_u32();
	kunit_info(test, "dm_io_kunit.replica_seed=%u", power->seed);
	for (i = 0; i < replica_histories; i++, power->seed++) {
		live_a_life(power);
		if (test->status == KUNIT_FAILURE)
			break;
		cond_resched();
	}
}

static struct kunit_case power_cases[] = {
	KUNIT_CASE(every_prefix),
	KUNIT_CASE(random_histories),
	{}
};

struct kunit_suite replica_power_suite = {
	.name = "dm_replica_power",
	.init = start_test,
	.exit = end_test,
	.test_cases = power_cases,
};
