// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: every byte that the calls move, to and from disks of the kernel and our own
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

/*
 * A window of each disk is mirrored in memory. Each call writes its regions
 * there, or reads one, in many geometries; what is around the regions and
 * around the buffer is compared along with them, and after the last call the
 * whole window. The disk is looked at by means of plain bios.
 */

static char *data_disk;
module_param(data_disk, charp, 0444);
MODULE_PARM_DESC(data_disk, "disk that takes the place of ram0; its start is overwritten");

#define WINDOW_BYTES	(MAX_BYTES + SZ_1M)
#define WINDOW_SECTORS	(WINDOW_BYTES >> SECTOR_SHIFT)

/* A buffer has to fit, with its offset and guards. */
#define LAYOUT_PAGES	(WINDOW_BYTES / PAGE_SIZE)

static u8 *mirror;
static u8 *scratch;
static struct buffer data_buffer;

/* Pages in an order in which they are contiguous, or never, or at times. */
enum order {
	IN_ORDER,
	SCATTERED,
	IN_RUNS,
	NUM_ORDERS
};

static const char * const order_names[] = {
	"pages in order", "scattered pages", "runs of pages",
};

static struct page **pages;
static u8 *layouts[NUM_ORDERS];

/* How an array of bio_vecs is cut. */
enum cut {
	EACH_PAGE,
	MERGED,
	ODD_PIECES,
	NUM_CUTS
};

static const char * const cut_names[] = {
	"one bio_vec a page", "long bio_vecs", "odd bio_vecs",
};

struct target {
	const char *name;
	const char *disk_name;		/* NULL: a disk of our own */
	unsigned int granule;		/* of memory: offsets, and lengths */
	const unsigned int *offsets;
	unsigned int num_offsets;
};

static const unsigned int word_offsets[] = { 0, 4, 252, 256, 3580, 4092 };
static const unsigned int byte_offsets[] = { 0, 1, 255, 256, 3584, 4095 };
static const unsigned int any_offsets[] = { 0, 512, 2048, 3584, 256, 1, 4092 };

static const struct target brd = {
	.name = "brd",
	.disk_name = "ram0",
	.granule = 4,
	.offsets = any_offsets,
	.num_offsets = ARRAY_SIZE(any_offsets),
};

static const struct target null_blk = {
	.name = "null_blk",
	.disk_name = "nullb0",
	.granule = 1,
	.offsets = any_offsets,
	.num_offsets = ARRAY_SIZE(any_offsets),
};

static const struct target word_disk = {
	.name = "disk with word alignment",
	.granule = 4,
	.offsets = word_offsets,
	.num_offsets = ARRAY_SIZE(word_offsets),
};

static const struct target byte_disk = {
	.name = "disk with byte alignment",
	.granule = 1,
	.offsets = byte_offsets,
	.num_offsets = ARRAY_SIZE(byte_offsets),
};

static const struct data_param {
	const struct target *target;
	enum call call;
} data_params[] = {
	{ &null_blk, SYNC_PAGES },
	{ &null_blk, ASYNC_PAGES },
	{ &null_blk, SYNC_BVEC },
	{ &null_blk, ASYNC_BVEC },
	{ &null_blk, SYNC_VM },
	{ &null_blk, ASYNC_VM },
	{ &null_blk, SYNC_BIO },
	{ &null_blk, ASYNC_BIO },
	{ &word_disk, SYNC_PAGES },
	{ &word_disk, ASYNC_PAGES },
	{ &word_disk, SYNC_BVEC },
	{ &word_disk, ASYNC_BVEC },
	{ &word_disk, SYNC_VM },
	{ &word_disk, ASYNC_VM },
	{ &word_disk, SYNC_BIO },
	{ &word_disk, ASYNC_BIO },
	{ &byte_disk, SYNC_PAGES },
	{ &byte_disk, ASYNC_PAGES },
	{ &byte_disk, SYNC_BVEC },
	{ &byte_disk, ASYNC_BVEC },
	{ &byte_disk, SYNC_VM },
	{ &byte_disk, ASYNC_VM },
	{ &byte_disk, SYNC_BIO },
	{ &byte_disk, ASYNC_BIO },
};

static void describe_data_param(const struct data_param *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s on %s",
		 calls[param->call].name, param->target->name);
}

KUNIT_ARRAY_PARAM(data, data_params, describe_data_param);

/* A suite of their own, since they are run again and again, with other disks. */
static const struct data_param disk_params[] = {
	{ &brd, SYNC_PAGES },
	{ &brd, ASYNC_PAGES },
	{ &brd, SYNC_BVEC },
	{ &brd, ASYNC_BVEC },
	{ &brd, SYNC_VM },
	{ &brd, ASYNC_VM },
	{ &brd, SYNC_BIO },
	{ &brd, ASYNC_BIO },
};

KUNIT_ARRAY_PARAM(disk, disk_params, describe_data_param);

struct geometry {
	unsigned int num_sectors;
	unsigned int num_regions;
	unsigned int offset;
	enum order order;
	enum cut cut;
};

static const unsigned int region_sectors[] = {
	1, 2, 3, 7, 8, 9, 16, 128, 135, 512, 2048, 2049, 4099,
	MAX_BYTES >> SECTOR_SHIFT,
};

static const unsigned int region_numbers[] = { 1, 2, 3, 8, BITS_PER_LONG };

/* With this size, a test begins to take long. */
#define LONG_SECTORS		(SZ_64K >> SECTOR_SHIFT)
#define MAX_SECTORS_AT_ONCE	(SZ_2M >> SECTOR_SHIFT)

/* The window, or a part of it, against its mirror. */
static bool same_as_mirror(struct kunit *test, struct block_device *bdev,
			   sector_t from, sector_t to, const char *what)
{
	while (from < to) {
		size_t bytes = min_t(u64, (to - from) << SECTOR_SHIFT, SZ_1M);

		KUNIT_EXPECT_EQ(test, 0, plain_io(bdev, REQ_OP_READ, from,
						  scratch, bytes));
		if (!same_bytes(test, scratch, mirror + (from << SECTOR_SHIFT),
				bytes, what))
			return false;
		from += bytes >> SECTOR_SHIFT;
	}
	return true;
}

/* A null_blk that is not backed by memory reads nothing, and reports success. */
static bool keeps_data(struct kunit *test, struct block_device *bdev)
{
	memset(scratch, GUARD, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, plain_io(bdev, REQ_OP_READ, 0, scratch,
					  PAGE_SIZE));
	return memchr_inv(scratch, GUARD, PAGE_SIZE);
}

static struct block_device *open_target(struct kunit *test,
					const struct target *target)
{
	struct block_device *bdev;

	if (target == &brd && data_disk)
		bdev = find_disk(test, data_disk);
	else if (target->disk_name)
		bdev = find_disk(test, target->disk_name);
	else
		bdev = new_disk(test, &(struct test_disk_layout) {
			.num_sectors = WINDOW_SECTORS,
			.any_alignment = true,
			.dma_alignment = target->granule - 1,
		})->bdev;
	KUNIT_ASSERT_GE(test, bdev_nr_sectors(bdev), WINDOW_SECTORS);

	memcpy(mirror, bytes_of(new_seed()), MAX_BYTES);
	memcpy(mirror + MAX_BYTES, bytes_of(new_seed()),
	       WINDOW_BYTES - MAX_BYTES);
	KUNIT_ASSERT_EQ(test, 0, plain_io(bdev, REQ_OP_WRITE, 0, mirror,
					  WINDOW_BYTES));
	if (!keeps_data(test, bdev))
		kunit_skip(test, "%s keeps no data: null_blk.memory_backed=1 lets it",
			   target->name);
	return bdev;
}

/* Cut the array anew. The pieces need not be those that a page would give. */
static void cut_bvec(struct buffer *buffer, enum cut cut, unsigned int granule)
{
	static const unsigned int lengths[] = { 1, 3, 8, 2, 13, 5, 21, 4 };
	unsigned int unit = granule < SECTOR_SIZE ? 61 * granule : granule;
	unsigned int num = 0, i;
	size_t done = 0;

	if (cut == EACH_PAGE)
		return;

	while (done < buffer->bytes) {
		u8 *data = buffer->data + done;
		unsigned int len = min_t(size_t, buffer->bytes - done,
					 PAGE_SIZE - offset_in_page(data));
		struct bio_vec *last = &buffer->bvec[num - 1];

		/* Odd pieces at both ends; with all of them, it would take long. */
		if (cut == ODD_PIECES && (done < SZ_16K ||
					  buffer->bytes - done < SZ_16K)) {
			i = num % ARRAY_SIZE(lengths);
			len = min(len, lengths[i] * unit);
		} else if (cut == MERGED && num &&
			   page_to_phys(last->bv_page) + last->bv_offset +
			   last->bv_len ==
			   page_to_phys(page_at(data)) + offset_in_page(data)) {
			last->bv_len += len;
			done += len;
			continue;
		}
		bvec_set_page(&buffer->bvec[num++], page_at(data), len,
			      offset_in_page(data));
		done += len;
	}
	buffer->num_vecs = num;
	bio_over_bvec(buffer);
}

/* Let the bio stand in the midst of its first bio_vec. */
static void start_within_bvec(struct buffer *buffer)
{
	struct bio_vec *first = &buffer->bvec[0];
	unsigned int before = first->bv_offset;

	first->bv_offset -= before;
	first->bv_len += before;
	buffer->bio.bi_iter.bi_size += before;
	bio_advance(&buffer->bio, before);
}

static void set_geometry(struct io *io, const struct geometry *geometry,
			 unsigned int granule)
{
	struct buffer *buffer = &data_buffer;

	buffer->data = layouts[geometry->order] + GUARD_BYTES +
		       geometry->offset;
	buffer->bytes = (size_t)geometry->num_sectors << SECTOR_SHIFT;
	describe_buffer(buffer);
	if (takes_bvec(io->call))
		cut_bvec(buffer, geometry->cut, granule);
	if (io->call == SYNC_BIO || io->call == ASYNC_BIO)
		start_within_bvec(buffer);
	set_buffer(io, buffer);

	memset(buffer->data - GUARD_BYTES, GUARD,
	       buffer->bytes + 2 * GUARD_BYTES);
}

static unsigned int sectors_of_block(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev) >> SECTOR_SHIFT;
}

/* Regions with a few blocks between them, in ascending or descending order. */
static void set_regions(struct io *io, struct block_device *bdev,
			const struct geometry *geometry)
{
	unsigned int block = sectors_of_block(bdev);
	unsigned int apart = geometry->num_sectors +
			     block * (1 + geometry->offset % 3);
	bool descending = geometry->num_sectors & 1;
	unsigned int i;

	io->num_regions = 0;
	for (i = 0; i < geometry->num_regions; i++) {
		unsigned int at = descending ? geometry->num_regions - 1 - i : i;

		add_region(io, bdev, 3 * block + at * apart,
			   geometry->num_sectors);
	}
}

static sector_t end_of_regions(const struct io *io)
{
	sector_t end = 0;
	unsigned int i;

	for (i = 0; i < io->num_regions; i++)
		end = max(end, io->regions[i].sector + io->regions[i].count);
	return end;
}

static void check_write(struct kunit *test, struct io *io,
			struct block_device *bdev)
{
	const u8 *bytes = bytes_of(new_seed());
	unsigned int i;

	memcpy(data_buffer.data, bytes, data_buffer.bytes);
	io->rw = WRITE;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);

	for (i = 0; i < io->num_regions; i++)
		memcpy(mirror + (io->regions[i].sector << SECTOR_SHIFT), bytes,
		       data_buffer.bytes);
	same_as_mirror(test, bdev, 0,
		       end_of_regions(io) + 3 * sectors_of_block(bdev),
		       "on the disk");
	same_bytes(test, data_buffer.data, bytes, data_buffer.bytes,
		   "the buffer, afterwards");
	expect_guards(test, &data_buffer);
}

static void check_read(struct kunit *test, struct io *io)
{
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);

	same_bytes(test, data_buffer.data,
		   mirror + (io->regions[0].sector << SECTOR_SHIFT),
		   data_buffer.bytes, "what was read");
	expect_guards(test, &data_buffer);
}

static void check_geometry(struct kunit *test, struct io *io,
			   struct block_device *bdev,
			   const struct geometry *geometry, bool write)
{
	const struct data_param *param = test->param_value;

	set_geometry(io, geometry, param->target->granule);
	set_regions(io, bdev, geometry);
	if (write)
		check_write(test, io, bdev);
	else
		check_read(test, io);

	KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "a %s of %u regions of %u sectors, %s at %u, %s",
			    write ? "write" : "read", geometry->num_regions,
			    geometry->num_sectors, order_names[geometry->order],
			    geometry->offset, cut_names[geometry->cut]);
}

static void check_size_and_offset(struct kunit *test, struct io *io,
				  struct block_device *bdev, unsigned int s,
				  unsigned int o)
{
	const struct data_param *param = test->param_value;
	unsigned int num_sectors = round_up(region_sectors[s],
					    sectors_of_block(bdev));
	unsigned int most = MAX_SECTORS_AT_ONCE / num_sectors;
	struct geometry geometry = {
		.num_sectors = num_sectors,
		.num_regions = region_numbers[(s + o) %
					      ARRAY_SIZE(region_numbers)],
		.offset = param->target->offsets[o],
		.order = (s + o + o / NUM_ORDERS) % NUM_ORDERS,
		.cut = (s + o / 2) % NUM_CUTS,
	};

	geometry.num_regions = clamp(geometry.num_regions, 1U, max(most, 1U));
	check_geometry(test, io, bdev, &geometry, true);
	geometry.num_regions = 1;
	check_geometry(test, io, bdev, &geometry, false);
}

/*
 * Every size with every offset, both with every number of regions, and all of
 * them with every order of pages. What takes long is done with one offset, which
 * is another one for each call.
 */
static void data_arrives(struct kunit *test)
{
	const struct data_param *param = test->param_value;
	const struct target *target = param->target;
	struct block_device *bdev;
	unsigned int s, o;
	struct io *io;

	get_reserve(test, 1);
	bdev = open_target(test, target);
	io = new_io(test, param->call, WRITE, NULL);

	for (s = 0; s < ARRAY_SIZE(region_sectors); s++) {
		if (region_sectors[s] >= LONG_SECTORS) {
			o = (s + param->call) % target->num_offsets;
			check_size_and_offset(test, io, bdev, s, o);
			continue;
		}
		for (o = 0; o < target->num_offsets; o++)
			check_size_and_offset(test, io, bdev, s, o);
	}
	same_as_mirror(test, bdev, 0, WINDOW_SECTORS, "the whole window");
}

#ifdef CONFIG_HIGHMEM
static void data_is_in_high_memory(struct kunit *test)
{
	expect_high_memory(test, pages, LAYOUT_PAGES);
}
#endif

/* Pages of which at least those of a MiB are contiguous. */
static int alloc_layout_pages(void)
{
	unsigned int order = get_order(SZ_1M);
	unsigned int i, j;

	for (i = 0; i < LAYOUT_PAGES; i += 1U << order) {
		struct page *block = alloc_pages(GFP_KERNEL | __GFP_HIGHMEM,
						 order);

		if (!block)
			return -ENOMEM;
		split_page(block, order);
		for (j = 0; j < 1U << order; j++)
			pages[i + j] = block + j;
	}
	return 0;
}

/* Runs of one to five pages, the last run first. */
static void order_in_runs(struct page **ordered)
{
	static const unsigned int lengths[] = { 1, 3, 2, 5, 1, 4 };
	unsigned int end = LAYOUT_PAGES, num = 0, i, j;

	for (i = 0; end; i++) {
		unsigned int len = min(lengths[i % ARRAY_SIZE(lengths)], end);

		end -= len;
		for (j = 0; j < len; j++)
			ordered[num++] = pages[end + j];
	}
}

static int map_layouts(void)
{
	struct page **ordered;
	unsigned int i;

	ordered = kvcalloc(LAYOUT_PAGES, sizeof(*ordered), GFP_KERNEL);
	if (!ordered)
		return -ENOMEM;

	layouts[IN_ORDER] = vmap(pages, LAYOUT_PAGES, VM_MAP, PAGE_KERNEL);

	/* The step has no divisor in common with their number. */
	for (i = 0; i < LAYOUT_PAGES; i++)
		ordered[i] = pages[i * 1031 % LAYOUT_PAGES];
	layouts[SCATTERED] = vmap(ordered, LAYOUT_PAGES, VM_MAP, PAGE_KERNEL);

	order_in_runs(ordered);
	layouts[IN_RUNS] = vmap(ordered, LAYOUT_PAGES, VM_MAP, PAGE_KERNEL);

	kvfree(ordered);
	for (i = 0; i < NUM_ORDERS; i++)
		if (!layouts[i])
			return -ENOMEM;
	return 0;
}

static void end_data_suite(struct kunit_suite *suite)
{
	unsigned int i;

	for (i = 0; i < NUM_ORDERS; i++) {
		vunmap(layouts[i]);
		layouts[i] = NULL;
	}
	for (i = 0; pages && i < LAYOUT_PAGES; i++)
		if (pages[i])
			__free_page(pages[i]);
	kvfree(pages);
	pages = NULL;
	kvfree(data_buffer.pages);
	kvfree(data_buffer.bvec);
	memset(&data_buffer, 0, sizeof(data_buffer));
	vfree(scratch);
	scratch = NULL;
	vfree(mirror);
	mirror = NULL;
	end_any_suite();
}

static int start_data_suite(struct kunit_suite *suite)
{
	/* Odd pieces are more than pages. */
	unsigned int max_vecs = LAYOUT_PAGES + 1024;

	if (start_any_suite())
		return -ENOMEM;
	mirror = vmalloc(WINDOW_BYTES);
	scratch = vmalloc(SZ_1M);
	data_buffer.pages = kvcalloc(max_vecs, sizeof(*data_buffer.pages),
				     GFP_KERNEL);
	data_buffer.bvec = kvcalloc(max_vecs, sizeof(*data_buffer.bvec),
				    GFP_KERNEL);
	pages = kvcalloc(LAYOUT_PAGES, sizeof(*pages), GFP_KERNEL);
	if (!mirror || !scratch || !data_buffer.pages || !data_buffer.bvec ||
	    !pages || alloc_layout_pages())
		return -ENOMEM;
	return map_layouts();
}

static struct kunit_case data_cases[] = {
#ifdef CONFIG_HIGHMEM
	KUNIT_CASE(data_is_in_high_memory),
#endif
	KUNIT_CASE_PARAM(data_arrives, data_gen_params),
	{}
};

static struct kunit_case disk_cases[] = {
	KUNIT_CASE_PARAM(data_arrives, disk_gen_params),
	{}
};

struct kunit_suite disk_suite = {
	.name = "dm_io_disk",
	.suite_init = start_data_suite,
	.suite_exit = end_data_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = disk_cases,
};

struct kunit_suite data_suite = {
	.name = "dm_io_data",
	.suite_init = start_data_suite,
	.suite_exit = end_data_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = data_cases,
};
