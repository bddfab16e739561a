// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: the tests of its protocol, rule by rule
 *
 * What a leg does wrong is done at a moment that a test chooses; what is left of a
 * set after a power cut is in dm-replica-test-power.c.
 */
#include <kunit/test.h>
#include <linux/crc32.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-replica-test-rig.h"

/* Where it is in a superblock, by Documentation/dm-replica.rst. */
#define SB_CHECKSUM	8
#define SB_VERSION	12
#define SB_LIVE		60
#define SB_FLAGS	64
#define SB_ID		80

static int start_test(struct kunit *test)
{
	test->priv = rig_create(test);
	return test->priv ? 0 : -ENOMEM;
}

static void end_test(struct kunit *test)
{
	if (test->priv)
		rig_destroy(test->priv);
}

#define EXPECT_STATES(of, want)						\
do {									\
	struct rig *rig_ = (of);					\
	char states_[MAX_LEGS + 1];					\
									\
	KUNIT_EXPECT_STREQ(rig_->test, rig_states(rig_, states_), want);	\
} while (0)

static void expect_equal(struct rig *rig)
{
	KUNIT_EXPECT_EQ_MSG(rig->test, rig_compare(rig), -1,
			    "live legs differ in this sector");
}

static u32 version_at(struct rig *rig, sector_t sector)
{
	u8 *data = kmalloc(SECTOR_SIZE, GFP_KERNEL);
	u32 version = U32_MAX;

	if (!rig_read(rig, sector, 1, data))
		version = rig_version_of(data, sector);
	kfree(data);
	return version;
}

static u32 written_at(struct rig *rig, unsigned int leg, sector_t sector)
{
	return rig_version_of(rig->legs[leg].disk->data +
			      ((RESERVED_SECTORS + sector) << SECTOR_SHIFT),
			      sector);
}

static void write_ok(struct rig *rig, sector_t sector, sector_t count)
{
	KUNIT_EXPECT_EQ(rig->test, 0, rig_write(rig, sector, count, REQ_FUA));
}

static void expect_refused(struct rig *rig, unsigned long present,
			   const char *word)
{
	struct rig_load load = { .present = present };
	bool loaded;

	rig_unload(rig);
	loaded = rig_load(rig, &load);
	KUNIT_EXPECT_FALSE_MSG(rig->test, loaded, "a set is accepted");
	if (loaded)
		return;
	KUNIT_EXPECT_TRUE_MSG(rig->test, strstr(rig->error, word),
			      "the reason is '%s', without '%s'", rig->error,
			      word);
}

static void load_degraded(struct rig *rig, unsigned long present)
{
	struct rig_load load = { .present = present, .degraded = true };

	rig_unload(rig);
	KUNIT_ASSERT_TRUE_MSG(rig->test, rig_load(rig, &load), "%s", rig->error);
}

static void fail_leg(struct rig *rig, unsigned int leg)
{
	KUNIT_EXPECT_EQ(rig->test, 0, replica_fail_leg(rig->set, leg));
}

static void rebuild(struct rig *rig, unsigned int leg)
{
	KUNIT_EXPECT_EQ(rig->test, 0, replica_rebuild_leg(rig->set, leg));
	rig_await_idle(rig);
}

/* The power goes off now, and each leg keeps all that it has got. */
static void cut_now(struct rig *rig)
{
	unsigned int cut = rig->num_events;

	rig_unload(rig);
	rig_cut(rig, cut, RIG_EVERYTHING);
	rig_begin_log(rig);
}

/*
 * Superblocks
 */

static u8 *superblock(struct rig *rig, unsigned int leg)
{
	return rig->legs[leg].disk->data;
}

static u32 le32_at(const u8 *data, unsigned int at)
{
	return le32_to_cpup((const __le32 *)(data + at));
}

static void superblocks_are_as_documented(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	rig_make(rig);
	for (leg = 0; leg < RIG_LEGS; leg++) {
		const u8 *data = superblock(rig, leg);

		KUNIT_EXPECT_EQ(test, 0, memcmp(data, "DMREPLCA", 8));
		KUNIT_EXPECT_EQ(test, le32_at(data, SB_CHECKSUM),
				crc32_le(~0, data + SB_VERSION,
					 512 - SB_VERSION));
		KUNIT_EXPECT_EQ(test, le32_at(data, SB_VERSION), 2);
		KUNIT_EXPECT_EQ(test, 0, memcmp(data + 16,
						superblock(rig, 0) + 16, 16));
		KUNIT_EXPECT_EQ(test, le32_at(data, 40), RIG_SECTORS);
		KUNIT_EXPECT_EQ(test, le32_at(data, 48), RESERVED_SECTORS);
		KUNIT_EXPECT_EQ(test, le32_at(data, 52), RIG_LEGS);
		KUNIT_EXPECT_EQ(test, le32_at(data, 56), leg);
		KUNIT_EXPECT_EQ(test, le32_at(data, SB_LIVE), 7);
		KUNIT_EXPECT_EQ(test, le32_at(data, SB_FLAGS), 1);
		KUNIT_EXPECT_EQ(test, le32_at(data, 68), 512);
		KUNIT_EXPECT_EQ(test, le32_at(data, 72), 16);
		KUNIT_EXPECT_EQ(test, le32_at(data, 76), 0);
		KUNIT_EXPECT_EQ(test, 0, memcmp(data + SB_ID, data + 88, 8));
		KUNIT_EXPECT_EQ(test, 0, memcmp(data + SB_ID,
						superblock(rig, 0) + SB_ID, 8));
		KUNIT_EXPECT_NULL(test, memchr_inv(data + 96, 0, SZ_4K - 96));
	}
	rig_unload(rig);
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 1), SB_FLAGS), 0);
}

static void any_other_byte_is_noticed(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int i;

	rig_make(rig);
	rig_unload(rig);
	for (i = 0; i < 512; i += 3) {
		superblock(rig, 1)[i] ^= 0x10;
		expect_refused(rig, RIG_ALL, "missing");
		superblock(rig, 1)[i] ^= 0x10;
	}
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "AAA");
}

/* As version 1 of the target wrote them. */
static void put_version_1(struct rig *rig, unsigned int leg, u64 generation,
			  u32 live, u32 flags)
{
	u8 *data = superblock(rig, leg);

	memset(data, 0, SZ_4K);
	/* It has nothing to say about what is there. */
	memset(data + SZ_64K, 0x5a, SZ_4K);
	memcpy(data, "DMREPLCA", 8);
	*(__le32 *)(data + SB_VERSION) = cpu_to_le32(1);
	memset(data + 16, 0x77, 16);
	*(__le64 *)(data + 32) = cpu_to_le64(generation);
	*(__le64 *)(data + 40) = cpu_to_le64(RIG_SECTORS);
	*(__le32 *)(data + 48) = cpu_to_le32(RESERVED_SECTORS);
	*(__le32 *)(data + 52) = cpu_to_le32(RIG_LEGS);
	*(__le32 *)(data + 56) = cpu_to_le32(leg);
	*(__le32 *)(data + SB_LIVE) = cpu_to_le32(live);
	*(__le32 *)(data + SB_FLAGS) = cpu_to_le32(flags);
	*(__le32 *)(data + SB_CHECKSUM) =
		cpu_to_le32(crc32_le(~0, data + SB_VERSION, 72 - SB_VERSION));
}

static void version_1_is_converted(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	for (leg = 0; leg < RIG_LEGS; leg++) {
		put_version_1(rig, leg, 5, 7, 0);
		rig_fill(superblock(rig, leg) + SZ_1M, 0, RIG_SECTORS, 0);
	}
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "AAA");
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 1), SB_VERSION), 1);
	/* It was clean, so there is nothing to copy. */
	rig_await_idle(rig);
	write_ok(rig, 9, 3);
	KUNIT_EXPECT_EQ(test, 0, rig->set->legs[1].copied);
	for (leg = 0; leg < RIG_LEGS; leg++)
		KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, leg), SB_VERSION),
				2);
	rig_await_clear(rig);
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "AAA");
	KUNIT_EXPECT_EQ(test, version_at(rig, 9), 1);
}

static void dirty_version_1_is_made_equal(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	for (leg = 0; leg < RIG_LEGS; leg++)
		put_version_1(rig, leg, 5, 7, 1);
	rig_reload(rig, RIG_ALL);
	rig_await_idle(rig);
	EXPECT_STATES(rig, "AAA");
	KUNIT_EXPECT_EQ(test, version_at(rig, 77), 0);
	expect_equal(rig);
}

static void half_converted_set_loads(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	for (leg = 0; leg < RIG_LEGS; leg++)
		put_version_1(rig, leg, 5, 7, 0);
	rig_reload(rig, RIG_ALL);
	write_ok(rig, 9, 3);
	rig_unload(rig);
	put_version_1(rig, 2, 5, 7, 0);
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "AAA");
}

/* A number does not tell an old leg from another history. */
static void version_1_of_two_generations_is_refused(struct kunit *test)
{
	struct rig *rig = test->priv;

	put_version_1(rig, 0, 4, 7, 0);
	put_version_1(rig, 1, 5, 6, 0);
	put_version_1(rig, 2, 5, 6, 0);
	expect_refused(rig, RIG_ALL, "Split brain");
	rig_reload(rig, 6);
	EXPECT_STATES(rig, "DAA");
}

static struct kunit_case superblock_cases[] = {
	KUNIT_CASE(superblocks_are_as_documented),
	KUNIT_CASE(any_other_byte_is_noticed),
	KUNIT_CASE(version_1_is_converted),
	KUNIT_CASE(dirty_version_1_is_made_equal),
	KUNIT_CASE(half_converted_set_loads),
	KUNIT_CASE(version_1_of_two_generations_is_refused),
	{}
};

static struct kunit_suite superblock_suite = {
	.name = "dm_replica_superblock",
	.init = start_test,
	.exit = end_test,
	.test_cases = superblock_cases,
};

/*
 * Rules 1 and 2: which legs are live
 */

enum missing { ABSENT, UNREADABLE, EMPTY };

static void lose(struct rig *rig, unsigned int leg, enum missing how)
{
	rig_unload(rig);
	if (how == UNREADABLE)
		rig->legs[leg].fault = (struct rig_fault) {
			.count = 8, .reads = true,
		};
	else if (how == EMPTY)
		memset(superblock(rig, leg), 0, SZ_4K);
}

static void newer_leg_is_missed(struct kunit *test)
{
	struct rig *rig = test->priv;
	enum missing how;

	for (how = ABSENT; how <= EMPTY; how++) {
		unsigned long present = how == ABSENT ? 6 : RIG_ALL;
		u8 *saved = vmalloc(SZ_4K);

		memset(superblock(rig, 0), 0, SZ_4K);
		memset(superblock(rig, 1), 0, SZ_4K);
		memset(superblock(rig, 2), 0, SZ_4K);
		rig_make(rig);
		fail_leg(rig, 1);
		fail_leg(rig, 2);
		write_ok(rig, 5, 3);
		rig_unload(rig);
		memcpy(saved, superblock(rig, 0), SZ_4K);

		lose(rig, 0, how);
		expect_refused(rig, present, "degraded");
		load_degraded(rig, present);
		EXPECT_STATES(rig, "DDA");
		/* Nobody has written: with leg 0, all is as it was. */
		rig_unload(rig);
		rig->legs[0].fault.reads = false;
		memcpy(superblock(rig, 0), saved, SZ_4K);
		rig_reload(rig, RIG_ALL);
		EXPECT_STATES(rig, "ADD");
		rig_unload(rig);

		/* After a write, it is a split brain. */
		lose(rig, 0, how);
		load_degraded(rig, present);
		write_ok(rig, 100, 3);
		rig_unload(rig);
		rig->legs[0].fault.reads = false;
		memcpy(superblock(rig, 0), saved, SZ_4K);
		expect_refused(rig, RIG_ALL, "Split brain");
		vfree(saved);
	}
}

static void dropped_leg_may_be_absent(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	fail_leg(rig, 1);
	write_ok(rig, 5, 3);
	rig_reload(rig, 5);
	EXPECT_STATES(rig, "ADA");
	expect_refused(rig, 4, "degraded");
	expect_refused(rig, 1, "degraded");
	expect_refused(rig, 2, "degraded");
}

static void split_brain_is_refused_whatever_the_numbers(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	load_degraded(rig, 1);
	write_ok(rig, 5, 3);
	load_degraded(rig, 6);
	write_ok(rig, 9, 3);
	fail_leg(rig, 2);
	write_ok(rig, 9, 3);
	expect_refused(rig, RIG_ALL, "Split brain");
	expect_refused(rig, 3, "Split brain");
	/* Without the other one it goes on. */
	rig_reload(rig, 6);
	EXPECT_STATES(rig, "DAD");
	KUNIT_EXPECT_EQ(test, version_at(rig, 9), 3);
}

/* Each of the legs 0 and 1 says that the other one is dead: yet it is no split. */
static void linear_history_is_no_split(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	fail_leg(rig, 1);
	fail_leg(rig, 2);
	write_ok(rig, 5, 3);
	rebuild(rig, 1);
	fail_leg(rig, 0);
	write_ok(rig, 9, 3);
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "DAD");
	KUNIT_EXPECT_EQ(test, version_at(rig, 5), 1);
	KUNIT_EXPECT_EQ(test, version_at(rig, 9), 2);
	rig_reload(rig, 6);
	EXPECT_STATES(rig, "DAD");
}

static void old_leg_is_old(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int i;

	rig_make(rig);
	fail_leg(rig, 2);
	for (i = 0; i < 5; i++) {
		write_ok(rig, i * 8, 8);
		fail_leg(rig, 1);
		write_ok(rig, i * 8, 4);
		rebuild(rig, 1);
	}
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "AAD");
	rebuild(rig, 2);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
}

static void reload_with_every_subset(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned long present;

	rig_make(rig);
	write_ok(rig, 5, 3);
	for (present = 1; present < RIG_ALL; present++)
		expect_refused(rig, present, "degraded");
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "AAA");
	for (present = 1; present <= RIG_ALL; present++) {
		load_degraded(rig, present);
		KUNIT_EXPECT_EQ(test, rig->set->live, present);
		KUNIT_EXPECT_EQ(test, version_at(rig, 5), 1);
	}
}

static void larger_blocks_are_refused(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	fail_leg(rig, 1);
	write_ok(rig, 5, 3);
	rig_unload(rig);
	KUNIT_ASSERT_EQ(test, 0, test_disk_set_up(rig->legs[1].disk,
						  &(struct test_disk_layout) {
		.num_sectors = RIG_LEG_SECTORS,
		.block = SZ_4K,
	}));
	expect_refused(rig, RIG_ALL, "logical blocks");
	rig_reload(rig, 5);
}

static struct kunit_case load_cases[] = {
	KUNIT_CASE(newer_leg_is_missed),
	KUNIT_CASE(dropped_leg_may_be_absent),
	KUNIT_CASE(split_brain_is_refused_whatever_the_numbers),
	KUNIT_CASE(linear_history_is_no_split),
	KUNIT_CASE(old_leg_is_old),
	KUNIT_CASE(reload_with_every_subset),
	KUNIT_CASE(larger_blocks_are_refused),
	{}
};

static struct kunit_suite load_suite = {
	.name = "dm_replica_load",
	.init = start_test,
	.exit = end_test,
	.test_cases = load_cases,
};

/*
 * Rules 3 to 8: what happens to a set in use
 */

/* As of the writes that have ended. */
struct on_leg {
	bool dirty;
	unsigned long live;
	u8 bits;
};

/*
 * Goes through the log: whenever data arrives at a leg, all live legs have to have
 * been told before that the set is dirty and that this region is. Returns how much
 * data there was.
 */
static unsigned int expect_order(struct rig *rig)
{
	struct on_leg legs[RIG_LEGS] = { };
	unsigned int i, leg, num = 0;

	for (leg = 0; leg < RIG_LEGS; leg++) {
		legs[leg].dirty = le32_at(rig->legs[leg].base, SB_FLAGS);
		legs[leg].live = le32_at(rig->legs[leg].base, SB_LIVE);
		legs[leg].bits = rig->legs[leg].base[SZ_64K];
	}
	for (i = 1; i < rig->num_events; i++) {
		const struct rig_event *event = &rig->events[i];
		const struct rig_event *of = &rig->events[event->of];
		sector_t sector = event->sector - RESERVED_SECTORS;
		unsigned long live;

		if (event->kind == RIG_END && of->kind == RIG_WRITE &&
		    of->data && !of->failed && of->fua) {
			if (!of->sector) {
				legs[of->leg].dirty = le32_at(of->data, SB_FLAGS);
				legs[of->leg].live = le32_at(of->data, SB_LIVE);
			} else if (of->sector == SZ_64K >> SECTOR_SHIFT) {
				legs[of->leg].bits = *of->data;
			}
		}
		if (event->kind != RIG_WRITE ||
		    event->sector < RESERVED_SECTORS)
			continue;
		num++;
		live = legs[event->leg].live;
		for_each_leg(leg, live) {
			KUNIT_EXPECT_TRUE_MSG(rig->test, legs[leg].dirty,
					      "leg %u is clean in event %u", leg,
					      i);
			KUNIT_EXPECT_TRUE_MSG(rig->test, legs[leg].bits &
					      BIT(sector >> 7),
					      "leg %u has no bit in event %u",
					      leg, i);
		}
	}
	KUNIT_EXPECT_FALSE(rig->test, rig->full);
	return num;
}

static void dirty_before_data(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int i;

	rig_make(rig);
	rig_unload(rig);
	rig_begin_log(rig);
	rig->shuffle = true;
	rig_reload(rig, RIG_ALL);
	for (i = 0; i < 40; i++) {
		write_ok(rig, i * 301 % RIG_SECTORS, 1 + i % 5);
		if (i % 8 == 7) {
			replica_suspend(rig->set);
			replica_run(rig->set, false);
		} else if (i % 8 == 3) {
			rig_await_clear(rig);
		}
	}
	KUNIT_EXPECT_GE(test, expect_order(rig), 120);
}

/* R3: nobody writes, and then somebody does. */
static void writable_later(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct rig_load load = { .present = RIG_ALL, .read_only = true };
	unsigned int i, cut = 0;

	rig_make(rig);
	rig_unload(rig);
	rig_begin_log(rig);
	KUNIT_ASSERT_TRUE(test, rig_load(rig, &load));
	KUNIT_EXPECT_EQ(test, version_at(rig, 5), 0);
	KUNIT_EXPECT_EQ(test, rig->num_events, 1);
	KUNIT_EXPECT_EQ(test, -EBUSY, replica_fail_leg(rig->set, 0));
	write_ok(rig, 5, 3);
	KUNIT_EXPECT_EQ(test, expect_order(rig), 3);

	/* The power goes off when one leg has got it. */
	for (i = 1; i < rig->num_events; i++)
		if (rig->events[i].kind == RIG_WRITE && !cut &&
		    rig->events[i].sector == RESERVED_SECTORS + 5)
			cut = i + 1;
	rig_unload(rig);
	rig_cut(rig, cut, RIG_EVERYTHING);
	KUNIT_EXPECT_NE(test, written_at(rig, 0, 5), written_at(rig, 1, 5));
	rig_reload(rig, RIG_ALL);
	rig_await_idle(rig);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
	KUNIT_EXPECT_EQ(test, version_at(rig, 5), 1);
}

static void await_hang(struct rig *rig, unsigned int leg)
{
	unsigned int i;

	for (i = 0; i < 2000 && !READ_ONCE(rig->legs[leg].hangs); i++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_TRUE(rig->test, rig->legs[leg].hangs);
}

/*
 * From here on, what is written keeps its bits, however slow this is. A look for
 * bits that is due already comes before that.
 */
static void keep_bits(struct rig *rig)
{
	rig_await_idle(rig);
	rig->set->clear_interval = 60 * HZ;
	flush_delayed_work(&rig->set->sync_work);
	flush_work(&rig->set->meta_work);
}

/* The next write of data to a leg fails; those of its bitmap and superblock do not. */
static void fail_data(struct rig *rig, unsigned int leg, sector_t sector,
		      sector_t count, blk_status_t status)
{
	rig->legs[leg].fault = (struct rig_fault) {
		.sector = RESERVED_SECTORS + sector, .count = count,
		.writes = true, .once = true, .status = status,
	};
}

/* R4 */
static void refused_write_costs_no_leg(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	rig_make(rig);
	write_ok(rig, 0, 64);
	for (leg = 0; leg < RIG_LEGS; leg++) {
		fail_data(rig, leg, leg * 3, 3, BLK_STS_RESOURCE);
		KUNIT_EXPECT_NE(test, 0, rig_write(rig, leg * 3, 3, 0));
		EXPECT_STATES(rig, "AAA");
		rig_await_idle(rig);
		expect_equal(rig);
	}
	EXPECT_STATES(rig, "AAA");
}

static void write_that_all_fail_costs_no_leg(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	rig_make(rig);
	keep_bits(rig);
	write_ok(rig, 0, 64);
	for (leg = 0; leg < RIG_LEGS; leg++)
		fail_data(rig, leg, 3, 3, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, -EIO, rig_write(rig, 3, 3, 0));
	rig_await_idle(rig);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
	write_ok(rig, 0, 64);
}

static void failed_write_costs_the_leg(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	keep_bits(rig);
	write_ok(rig, 0, 64);
	fail_data(rig, 1, 3, 3, BLK_STS_IOERR);
	write_ok(rig, 3, 3);
	EXPECT_STATES(rig, "ADA");
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 0), SB_LIVE), 5);
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 1), SB_LIVE), 7);
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 2), SB_LIVE), 5);
	fail_data(rig, 0, 3, 3, BLK_STS_IOERR);
	write_ok(rig, 3, 3);
	EXPECT_STATES(rig, "DDA");
	/* The last one stays. */
	fail_data(rig, 2, 3, 3, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, -EIO, rig_write(rig, 3, 3, 0));
	EXPECT_STATES(rig, "DDA");
	write_ok(rig, 3, 3);
	KUNIT_EXPECT_EQ(test, -EBUSY, replica_fail_leg(rig->set, 2));
}

/* A write without a leg is not acknowledged before superblocks say so. */
static void write_is_held(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct rig_io *io;
	char states[MAX_LEGS + 1];
	int i;

	rig_make(rig);
	keep_bits(rig);
	write_ok(rig, 0, 64);
	fail_data(rig, 1, 3, 3, BLK_STS_IOERR);
	/* The write, and then its superblock. */
	rig->legs[2].hang_write = 2;
	io = rig_start(rig, REQ_OP_WRITE, 3, 3);
	for (i = 0; i < 200 && strcmp(rig_states(rig, states), "ADA"); i++)
		usleep_range(500, 1000);
	EXPECT_STATES(rig, "ADA");
	msleep(20);
	KUNIT_EXPECT_FALSE_MSG(test, completion_done(&io->ended),
			       "it is acknowledged too early");
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 2), SB_LIVE), 7);
	rig_release(rig, 2);
	KUNIT_EXPECT_EQ(test, 0, rig_finish(io));
	KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, 2), SB_LIVE), 5);
}

/* R5 */
static void resync_takes_no_more_than_it_must(struct kunit *test)
{
	struct rig *rig = test->priv;
	u32 version;
	sector_t i;

	rig_make(rig);
	rig_await_clear(rig);
	keep_bits(rig);
	write_ok(rig, 0, 64);
	version = rig->version;
	cut_now(rig);
	/* As a crash in the middle of a write may leave them. */
	rig_fill(superblock(rig, 1) + SZ_1M, 0, 128, version + 1);
	rig_fill(superblock(rig, 2) + SZ_1M, 0, 128, version + 1);
	rig->legs[0].fault = (struct rig_fault) {
		.sector = RESERVED_SECTORS + 5, .count = 1, .reads = true,
	};
	rig_reload(rig, RIG_ALL);
	rig_await_idle(rig);
	for (i = 0; i < 128; i++) {
		u32 want = i == 5 ? version + 1 : i < 64 ? version : 0;

		KUNIT_EXPECT_EQ_MSG(test, written_at(rig, 1, i), want,
				    "sector %llu", (u64)i);
		KUNIT_EXPECT_EQ(test, written_at(rig, 2, i), want);
		KUNIT_EXPECT_EQ(test, version_at(rig, i), want);
	}
	EXPECT_STATES(rig, "AAA");
	/* Had it only failed for a while, the leg would have what it had before. */
	rig->legs[0].fault = (struct rig_fault) { };
	KUNIT_EXPECT_EQ(test, version_at(rig, 5), version + 1);
	expect_equal(rig);
}

/* Only what may differ is copied, and while it may, all read the same. */
static void resync_copies_what_is_marked(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	rig_await_clear(rig);
	keep_bits(rig);
	write_ok(rig, 128, 8);
	write_ok(rig, 700, 8);
	cut_now(rig);
	rig_reload(rig, RIG_ALL);
	rig_await_idle(rig);
	KUNIT_EXPECT_EQ(test, rig->set->legs[0].copied, 0);
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, 2 * 128);
	KUNIT_EXPECT_EQ(test, rig->set->legs[2].copied, 2 * 128);
}

/* R8 */
static void idle_set_is_clean(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	write_ok(rig, 128, 8);
	rig_await_clear(rig);
	cut_now(rig);
	rig_reload(rig, RIG_ALL);
	rig_await_idle(rig);
	EXPECT_STATES(rig, "AAA");
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, 0);
	KUNIT_EXPECT_EQ(test, rig->set->num_differ, 0);
}

static void orderly_end_is_clean(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	rig_make(rig);
	write_ok(rig, 128, 8);
	rig_unload(rig);
	for (leg = 0; leg < RIG_LEGS; leg++) {
		KUNIT_EXPECT_EQ(test, le32_at(superblock(rig, leg), SB_FLAGS), 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(superblock(rig, leg) + SZ_64K,
						   0, SZ_4K));
	}
	rig_reload(rig, RIG_ALL);
	KUNIT_EXPECT_EQ(test, rig->set->num_differ, 0);
}

/* R6 */
static void hanging_leg_delays_nobody(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned long start;
	struct rig_io *io;

	rig_make(rig);
	write_ok(rig, 0, 64);
	fail_leg(rig, 1);
	/* Its superblock, and then a chunk. */
	rig->legs[1].hang_write = 2;
	KUNIT_EXPECT_EQ(test, 0, replica_rebuild_leg(rig->set, 1));
	EXPECT_STATES(rig, "ARA");
	msleep(20);

	start = jiffies;
	rig->legs[0].fault = (struct rig_fault) {
		.sector = RESERVED_SECTORS + 5, .count = 1, .reads = true,
	};
	KUNIT_EXPECT_EQ(test, version_at(rig, 5), 1);
	/* This one needs the leg, as long as it is one. */
	io = rig_start(rig, REQ_OP_WRITE, 8, 1);
	msleep(20);
	KUNIT_EXPECT_FALSE(test, completion_done(&io->ended));
	fail_leg(rig, 1);
	KUNIT_EXPECT_EQ(test, 0, rig_finish(io));
	write_ok(rig, 8, 1);
	write_ok(rig, 900, 1);
	KUNIT_EXPECT_TRUE_MSG(test, rig->legs[1].hangs, "it has to hang still");
	KUNIT_EXPECT_TRUE(test, time_before(jiffies, start + 5 * HZ));
	EXPECT_STATES(rig, "ADA");
	KUNIT_EXPECT_EQ(test, -EBUSY, replica_rebuild_leg(rig->set, 1));
	rig_release(rig, 1);
}

/* The same for a live one, in the middle of a write and of its superblock. */
static void hanging_live_leg_can_fail(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct rig_io *io, *other;

	rig_make(rig);
	rig_await_clear(rig);
	rig->legs[1].hang_write = 1;
	/* They wait for their bits. */
	io = rig_start(rig, REQ_OP_WRITE, 8, 1);
	other = rig_start(rig, REQ_OP_WRITE, 900, 1);
	msleep(20);
	KUNIT_EXPECT_FALSE(test, completion_done(&other->ended));
	fail_leg(rig, 1);
	KUNIT_EXPECT_TRUE(test, rig->legs[1].hangs);
	EXPECT_STATES(rig, "ADA");
	KUNIT_EXPECT_EQ(test, 0, rig_finish(other));
	write_ok(rig, 300, 1);
	rig_release(rig, 1);
	KUNIT_EXPECT_EQ(test, 0, rig_finish(io));
}

/* R7 */
static void changes_raise_events(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int events;

	rig_make(rig);
	write_ok(rig, 0, 64);
	flush_work(&rig->set->meta_work);
	events = rig->set->events;
	fail_data(rig, 2, 0, 64, BLK_STS_IOERR);
	write_ok(rig, 0, 64);
	flush_work(&rig->set->meta_work);
	KUNIT_EXPECT_GT(test, rig->set->events, events);
	events = rig->set->events;
	fail_leg(rig, 1);
	flush_work(&rig->set->meta_work);
	KUNIT_EXPECT_GT(test, rig->set->events, events);
	events = rig->set->events;
	rig->legs[1].hang_write = 2;
	KUNIT_EXPECT_EQ(test, 0, replica_rebuild_leg(rig->set, 1));
	flush_work(&rig->set->meta_work);
	KUNIT_EXPECT_GT(test, rig->set->events, events);
	events = rig->set->events;
	msleep(20);
	rig_release(rig, 1);
	rig_await_idle(rig);
	flush_work(&rig->set->meta_work);
	EXPECT_STATES(rig, "AAD");
	KUNIT_EXPECT_GT(test, rig->set->events, events);
}

/* Rule 8 */
static void leg_returns_by_its_bits(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	rig_await_clear(rig);
	fail_leg(rig, 1);
	write_ok(rig, 10, 8);
	write_ok(rig, 300, 8);
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "ADA");
	write_ok(rig, 310, 8);
	rebuild(rig, 1);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, 2 * 128);
	rig_await_clear(rig);
}

/* It has missed what it had in its cache, too. */
static void leg_returns_without_its_cache(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int cut;

	rig_make(rig);
	rig_await_clear(rig);
	rig_unload(rig);
	rig_reload(rig, RIG_ALL);
	rig_begin_log(rig);
	KUNIT_EXPECT_EQ(test, 0, rig_write(rig, 10, 8, 0));
	rig->legs[1].fail_write = 1;
	cut = rig->num_events;
	write_ok(rig, 300, 8);
	rig_unload(rig);
	/* The server of this leg has lost power, and no other one has. */
	memcpy(superblock(rig, 1) + SZ_1M, rig->legs[1].base + SZ_1M,
	       RIG_SECTORS << SECTOR_SHIFT);
	KUNIT_EXPECT_NE(test, cut, 0);
	rig_reload(rig, RIG_ALL);
	rebuild(rig, 1);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
}

static void foreign_leg_is_copied_whole(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	rig_await_clear(rig);
	fail_leg(rig, 1);
	write_ok(rig, 10, 8);
	rig_unload(rig);
	/* Another disk in its place. */
	memset(superblock(rig, 1), 0x33, RIG_LEG_BYTES);
	rig_reload(rig, RIG_ALL);
	rebuild(rig, 1);
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, RIG_SECTORS);
	expect_equal(rig);

	/* One that has lived on alone, and was given up. */
	fail_leg(rig, 1);
	write_ok(rig, 10, 8);
	load_degraded(rig, 2);
	write_ok(rig, 500, 8);
	rig_reload(rig, 5);
	EXPECT_STATES(rig, "ADA");
	rig_unload(rig);
	memset(superblock(rig, 1), 0, SZ_4K);
	rig_reload(rig, RIG_ALL);
	rebuild(rig, 1);
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, RIG_SECTORS);
	expect_equal(rig);
}

/*
 * A rebuild by bits, of a leg whose power fails meanwhile: what has reached it by then
 * is in no bits of others.
 */
static void rebuild_cut_short_copies_all(struct kunit *test)
{
	struct rig *rig = test->priv;
	u8 *saved;

	saved = vmalloc(RIG_LEG_BYTES);
	KUNIT_ASSERT_NOT_NULL(test, saved);
	rig_make(rig);
	rig_await_clear(rig);
	fail_leg(rig, 1);
	write_ok(rig, 10, 8);
	/* Behind its superblock. */
	rig->legs[1].hang_write = 2;
	KUNIT_EXPECT_EQ(test, 0, replica_rebuild_leg(rig->set, 1));
	await_hang(rig, 1);
	memcpy(saved, superblock(rig, 1), RIG_LEG_BYTES);
	rig->legs[1].fault = (struct rig_fault) {
		.count = RIG_LEG_BYTES >> SECTOR_SHIFT, .writes = true,
	};
	rig_release(rig, 1);
	rig_await_idle(rig);
	EXPECT_STATES(rig, "ADA");
	rig_unload(rig);

	rig->legs[1].fault.writes = false;
	memcpy(superblock(rig, 1), saved, RIG_LEG_BYTES);
	vfree(saved);
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "ADA");
	rebuild(rig, 1);
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, RIG_SECTORS);
	expect_equal(rig);
}

static void bits_stay_while_a_leg_is_missing(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	rig_await_clear(rig);
	fail_leg(rig, 1);
	write_ok(rig, 10, 8);
	msleep(50);
	fail_leg(rig, 2);
	write_ok(rig, 300, 8);
	rebuild(rig, 2);
	msleep(50);
	rig_reload(rig, RIG_ALL);
	EXPECT_STATES(rig, "ADA");
	rebuild(rig, 1);
	KUNIT_EXPECT_EQ(test, rig->set->legs[1].copied, 2 * 128);
	expect_equal(rig);
}

/* Writes during a rebuild reach the leg, before and behind what has been copied. */
static void writes_reach_a_rebuilding_leg(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int i;

	rig_make(rig);
	fail_leg(rig, 1);
	write_ok(rig, 0, 64);
	memset(superblock(rig, 1), 0x33, RIG_LEG_BYTES);
	rig->legs[1].hang_write = 2;
	KUNIT_EXPECT_EQ(test, 0, replica_rebuild_leg(rig->set, 1));
	await_hang(rig, 1);
	rig->shuffle = true;
	rig_release(rig, 1);
	for (i = 0; i < 200; i++)
		write_ok(rig, i * 37 % (RIG_SECTORS - 8), 8);
	rig_await_idle(rig);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
}

/* Lost while it is live, while it is asked for, is copied to, and is about to be live. */
static void leg_is_lost_in_every_state(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int nth;

	rig_make(rig);
	write_ok(rig, 0, 64);
	for (nth = 1; nth <= 12; nth++) {
		if (rig->set->live & BIT(1))
			fail_leg(rig, 1);
		write_ok(rig, nth * 70, 8);
		rig->legs[1].fail_write = nth;
		replica_rebuild_leg(rig->set, 1);
		write_ok(rig, nth * 80, 8);
		rig_await_idle(rig);
		KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
				    "write %u to the leg has failed", nth);
		rig->legs[1].fail_write = 0;
		if (!(rig->set->live & BIT(1)))
			rebuild(rig, 1);
		EXPECT_STATES(rig, "AAA");
		expect_equal(rig);
	}
}

static void suspend_during_a_rebuild(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int i;

	rig_make(rig);
	for (i = 0; i < 10; i++) {
		fail_leg(rig, 1);
		write_ok(rig, i * 70, 8);
		memset(superblock(rig, 1), 0x33, SZ_4K);
		KUNIT_EXPECT_EQ(test, 0, replica_rebuild_leg(rig->set, 1));
		usleep_range(i * 20, i * 20 + 20);
		replica_suspend(rig->set);
		replica_run(rig->set, false);
		write_ok(rig, i * 80, 8);
		rig_await_idle(rig);
		EXPECT_STATES(rig, "AAA");
		expect_equal(rig);
	}
}

static void superblock_and_bitmap_errors_cost_the_leg(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	rig_await_clear(rig);
	rig->legs[1].fault = (struct rig_fault) {
		.sector = 128, .count = 8, .writes = true,
	};
	write_ok(rig, 300, 8);
	EXPECT_STATES(rig, "ADA");
	rig->legs[2].fault = (struct rig_fault) {
		.count = 8, .writes = true,
	};
	rig->legs[1].fault.writes = false;
	rebuild(rig, 1);
	EXPECT_STATES(rig, "AAD");
	expect_equal(rig);
	/* Nobody's superblock can be written: no write may be acknowledged. */
	rig->legs[0].fault = rig->legs[2].fault;
	rig->legs[1].fail_write = 1;
	KUNIT_EXPECT_NE(test, 0, rig_write(rig, 300, 8, 0));
}

static void discards_and_zeroes_are_passed_on(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig_make(rig);
	write_ok(rig, 0, 64);
	KUNIT_EXPECT_EQ(test, 0, rig_finish(rig_start(rig, REQ_OP_DISCARD, 8,
						      8)));
	KUNIT_EXPECT_EQ(test, 1, rig->legs[2].num_discards);
	KUNIT_EXPECT_EQ(test, 0, rig_finish(rig_start(rig, REQ_OP_WRITE_ZEROES,
						      0, 32)));
	KUNIT_EXPECT_EQ(test, 1, rig->legs[2].num_zeroes);
	KUNIT_EXPECT_NULL(test, memchr_inv(superblock(rig, 1) + SZ_1M, 0,
					   32 * SECTOR_SIZE));
	expect_equal(rig);

	/* A leg that cannot is none that lacks something. */
	fail_data(rig, 1, 8, 8, BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, 0, rig_finish(rig_start(rig, REQ_OP_DISCARD, 8,
						      8)));
	EXPECT_STATES(rig, "AAA");
	write_ok(rig, 0, 64);
	fail_data(rig, 1, 0, 8, BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			rig_finish(rig_start(rig, REQ_OP_WRITE_ZEROES, 0, 8)));
	rig_await_idle(rig);
	EXPECT_STATES(rig, "AAA");
	expect_equal(rig);
}

static void reads_go_on_without_a_leg(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int leg;

	rig_make(rig);
	write_ok(rig, 0, 64);
	for (leg = 0; leg < RIG_LEGS; leg++)
		rig->legs[leg].fault = (struct rig_fault) {
			.sector = RESERVED_SECTORS + 8 * leg, .count = 8,
			.reads = true,
		};
	for (leg = 0; leg < RIG_LEGS; leg++)
		KUNIT_EXPECT_EQ(test, version_at(rig, 8 * leg), 1);
	EXPECT_STATES(rig, "AAA");
	KUNIT_EXPECT_EQ(test, 1, rig->set->legs[0].errors[READ_ERROR]);
	for (leg = 0; leg < RIG_LEGS; leg++)
		rig->legs[leg].fault.count = 64;
	KUNIT_EXPECT_EQ(test, version_at(rig, 17), U32_MAX);
	EXPECT_STATES(rig, "AAA");
}

static struct kunit_case use_cases[] = {
	KUNIT_CASE(dirty_before_data),
	KUNIT_CASE(writable_later),
	KUNIT_CASE(refused_write_costs_no_leg),
	KUNIT_CASE(write_that_all_fail_costs_no_leg),
	KUNIT_CASE(failed_write_costs_the_leg),
	KUNIT_CASE(write_is_held),
	KUNIT_CASE(resync_takes_no_more_than_it_must),
	KUNIT_CASE(resync_copies_what_is_marked),
	KUNIT_CASE(idle_set_is_clean),
	KUNIT_CASE(orderly_end_is_clean),
	KUNIT_CASE(hanging_leg_delays_nobody),
	KUNIT_CASE(hanging_live_leg_can_fail),
	KUNIT_CASE(changes_raise_events),
	KUNIT_CASE(leg_returns_by_its_bits),
	KUNIT_CASE(leg_returns_without_its_cache),
	KUNIT_CASE(foreign_leg_is_copied_whole),
	KUNIT_CASE(rebuild_cut_short_copies_all),
	KUNIT_CASE(bits_stay_while_a_leg_is_missing),
	KUNIT_CASE(writes_reach_a_rebuilding_leg),
	KUNIT_CASE(leg_is_lost_in_every_state),
	KUNIT_CASE(suspend_during_a_rebuild),
	KUNIT_CASE(superblock_and_bitmap_errors_cost_the_leg),
	KUNIT_CASE(discards_and_zeroes_are_passed_on),
	KUNIT_CASE(reads_go_on_without_a_leg),
	{}
};

static struct kunit_suite use_suite = {
	.name = "dm_replica_use",
	.init = start_test,
	.exit = end_test,
	.test_cases = use_cases,
};

kunit_test_suites(&superblock_suite, &load_suite, &use_suite,
		  &replica_power_suite);
