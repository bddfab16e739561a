// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests on disks of the kernel: brd, null_blk and scsi_debug
 */
#include <kunit/test.h>
#include <linux/async.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/device/class.h>
#include <linux/sizes.h>
#include <scsi/scsi_device.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

static void put_device_of(void *data)
{
	put_device(data);
}

#if IS_REACHABLE(CONFIG_SCSI)

static int is_scsi_debug(struct device *device, const void *data)
{
	struct device *parent = device->parent;

	return parent && parent->bus && !strcmp(parent->bus->name, "scsi") &&
	       !strncmp(to_scsi_device(parent)->model, "scsi_debug", 10);
}

/* Its driver finds it some time after the kernel has started. */
static struct block_device *find_scsi_debug(struct kunit *test)
{
	struct device *like = disk_to_dev(new_plain_disk(test)->disk);
	unsigned long deadline = jiffies + LIMIT / 4;
	struct device *device;

	wait_for_device_probe();
	async_synchronize_full();
	do {
		device = class_find_device(like->class, NULL, NULL,
					   is_scsi_debug);
		if (!device)
			msleep(50);
	} while (!device && time_before(jiffies, deadline));
	if (!device)
		return NULL;
	defer(test, put_device_of, device);
	KUNIT_ASSERT_PTR_EQ(test, dev_to_bdev(device)->bd_holder, NULL);
	return dev_to_bdev(device);
}

#else

static struct block_device *find_scsi_debug(struct kunit *test)
{
	return NULL;
}

#endif

static struct block_device *find_brd(struct kunit *test)
{
	return find_disk(test, "ram0");
}

static struct block_device *find_null_blk(struct kunit *test)
{
	return find_disk(test, "nullb0");
}

enum device_op { DISCARD = BIT(0), ZEROES = BIT(1), ATOMIC_WRITES = BIT(2) };

/* What a device has to be able to do, and the parameter that lets it. */
static const struct kernel_device {
	const char *name;
	struct block_device *(*find)(struct kunit *test);
	unsigned int able;
	const char *parameters;
} kernel_devices[] = {
	{ "brd", find_brd, 0, "" },
	{ "null_blk", find_null_blk, DISCARD,
	  "null_blk.memory_backed=1 null_blk.discard=1" },
	{ "scsi_debug", find_scsi_debug, DISCARD | ZEROES,
	  "scsi_debug.lbpu=1 scsi_debug.lbpws=1 scsi_debug.delay=0" },
};

static void describe_kernel_device(const struct kernel_device *device,
				   char *desc)
{
	strscpy(desc, device->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kernel_device, kernel_devices, describe_kernel_device);

static struct block_device *open_kernel_device(struct kunit *test)
{
	const struct kernel_device *device = test->param_value;
	struct block_device *bdev = device->find(test);

	if (!bdev || ((device->able & DISCARD) &&
		      !bdev_max_discard_sectors(bdev)) ||
	    ((device->able & ZEROES) && !bdev_write_zeroes_sectors(bdev)))
		kunit_skip(test, "boot the kernel with %s", device->parameters);
	return bdev;
}

static bool can_do(struct block_device *bdev, enum req_op op)
{
	if (op == REQ_OP_DISCARD)
		return bdev_max_discard_sectors(bdev);
	if (op == REQ_OP_SECURE_ERASE)
		return bdev_max_secure_erase_sectors(bdev);
	return bdev_write_zeroes_sectors(bdev);
}

/* The area that an operation is tried in, of pages. */
#define AREA_SECTORS	(SZ_256K >> SECTOR_SHIFT)
#define HOLE_FROM	64
#define HOLE_SECTORS	(AREA_SECTORS - 3 * HOLE_FROM)

static void check_kernel_device(struct kunit *test, struct block_device *bdev,
				enum call call, const struct range_op *op)
{
	unsigned int seed = new_seed();
	size_t from = HOLE_FROM << SECTOR_SHIFT;
	size_t end = (HOLE_FROM + HOLE_SECTORS) << SECTOR_SHIFT;
	bool able = can_do(bdev, op->op);
	struct io *io = new_op(test, call, op->opf);
	u8 *data = test_alloc(test, SZ_256K);

	memcpy(data, bytes_of(seed), SZ_256K);
	KUNIT_ASSERT_EQ(test, 0,
			plain_io(bdev, REQ_OP_WRITE, 0, data, SZ_256K));

	/* In two regions, with nothing in between. */
	add_region(io, bdev, HOLE_FROM, HOLE_SECTORS / 2);
	add_region(io, bdev, HOLE_FROM + HOLE_SECTORS / 2, HOLE_SECTORS / 2);
	if (able)
		perform_with(test, io, (int[]) { 0, 0 });
	else
		perform_with(test, io, (int[]) { -EOPNOTSUPP, -EOPNOTSUPP });

	memset(data, GUARD, SZ_256K);
	KUNIT_ASSERT_EQ(test, plain_io(bdev, REQ_OP_READ, 0, data, SZ_256K), 0);
	same_bytes(test, data, bytes_of(seed), from, "before the region");
	if (able)
		all_bytes(test, data + from, 0, end - from, "the region");
	else
		same_bytes(test, data + from, bytes_of(seed) + from, end - from,
			   "the region");
	same_bytes(test, data + end, bytes_of(seed) + end, SZ_256K - end,
		   "behind the region");
	tell_case(test, io, op->name);
}

static void device_does_what_it_can(struct kunit *test)
{
	struct block_device *bdev = open_kernel_device(test);
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		for (i = 0; i < ARRAY_SIZE(range_ops); i++)
			check_kernel_device(test, bdev, call, &range_ops[i]);
}

static void device_is_flushed(struct kunit *test)
{
	struct block_device *bdev = open_kernel_device(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	enum call call;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_op(test, call, REQ_OP_FLUSH);
		unsigned int seed = new_seed();

		add_region(io, bdev, 0, 0);
		perform_with(test, io, (int[]) { 0 });

		fill_buffer(buffer, seed);
		io = new_io(test, call, DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH |
						  REQ_FUA), buffer);
		add_region(io, bdev, 64, SZ_16K >> SECTOR_SHIFT);
		perform_with(test, io, (int[]) { 0 });
		memset(buffer->data, GUARD, SZ_16K);
		KUNIT_EXPECT_EQ(test, plain_io(bdev, REQ_OP_READ, 64,
					       buffer->data, SZ_16K), 0);
		same_bytes(test, buffer->data, bytes_of(seed), SZ_16K,
			   "on the disk");
	}
}

#ifdef REQ_ATOMIC

static void scsi_debug_writes_atomically(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct block_device *bdev = find_scsi_debug(test);
	const struct queue_limits *limits;
	unsigned int bytes;
	enum call call;

	if (!bdev || !bdev_get_queue(bdev)->limits.atomic_write_unit_max)
		kunit_skip(test, "boot the kernel with scsi_debug.atomic_wr=1");
	limits = &bdev_get_queue(bdev)->limits;
	bytes = min_t(unsigned int, SZ_16K, limits->atomic_write_unit_max);
	KUNIT_ASSERT_GE(test, bytes, limits->atomic_write_unit_min);

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, DM_IO_OPF(REQ_OP_WRITE | REQ_ATOMIC),
				       buffer);
		unsigned int seed = new_seed();

		fill_buffer(buffer, seed);
		add_region(io, bdev, 64, bytes >> SECTOR_SHIFT);
		perform_with(test, io, (int[]) { 0 });
		memset(buffer->data, GUARD, SZ_16K);
		KUNIT_EXPECT_EQ(test, plain_io(bdev, REQ_OP_READ, 64,
					       buffer->data, bytes), 0);
		same_bytes(test, buffer->data, bytes_of(seed), bytes,
			   "on the disk");

		io->regions[0].sector = 65;
		expect_refused(test, io, -EINVAL);
		tell_case(test, io, "atomic write");
	}
}

#endif

static struct kunit_case devices_cases[] = {
	KUNIT_CASE_PARAM(device_does_what_it_can, kernel_device_gen_params),
	KUNIT_CASE_PARAM(device_is_flushed, kernel_device_gen_params),
#ifdef REQ_ATOMIC
	KUNIT_CASE(scsi_debug_writes_atomically),
#endif
	{}
};

struct kunit_suite devices_suite = {
	.name = "dm_io_devices",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = devices_cases,
};
