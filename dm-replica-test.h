/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-replica: what the target offers to its tests, and only when these are
 * configured
 */
#ifndef DM_REPLICA_TEST_H
#define DM_REPLICA_TEST_H

#include <linux/blk_types.h>
#include <linux/types.h>

/* What a superblock says. */
struct replica_test_state {
	u8 uuid[16];
	u64 generation;
	sector_t data_sectors;
	unsigned int num_legs;
	unsigned int leg;
	unsigned long live;
	bool dirty;
};

/* Write the superblock of a set that is in this state to one of its legs. */
int dm_replica_test_write(struct block_device *bdev,
			  const struct replica_test_state *state);

/*
 * Have the target find a set on one of its legs. It has to know the number of
 * legs, which one this is, and the size; the rest is returned. Returns false if
 * the target would not use the leg.
 */
bool dm_replica_test_read(struct block_device *bdev,
			  struct replica_test_state *state);

#endif /* DM_REPLICA_TEST_H */
