// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of what is refused, of who owns what until when, and of callbacks
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

/*
 * What is refused
 */

#define PAGES_CALLS	(BIT(SYNC_PAGES) | BIT(ASYNC_PAGES) |		\
			 BIT(SYNC_ARGS) | BIT(ASYNC_ARGS))
#define BVEC_CALLS	(BIT(SYNC_BVEC) | BIT(ASYNC_BVEC))
#define VM_CALLS	(BIT(SYNC_VM) | BIT(ASYNC_VM))
#define BIO_CALLS	(BIT(SYNC_BIO) | BIT(ASYNC_BIO))
#define ASYNC_CALLS	(BIT(ASYNC_PAGES) | BIT(ASYNC_BVEC) |		\
			 BIT(ASYNC_VM) | BIT(ASYNC_BIO))
#define ALL_CALLS	(PAGES_CALLS | BVEC_CALLS | VM_CALLS | BIO_CALLS)

static void spoil_no_regions(struct io *io)
{
	io->num_regions = 0;
}

static void spoil_many_regions(struct io *io)
{
	unsigned int i;

	for (i = 1; i <= BITS_PER_LONG; i++)
		io->regions[i] = io->regions[0];
	io->num_regions = BITS_PER_LONG + 1;
}

static void spoil_all_regions(struct io *io)
{
	io->num_regions = UINT_MAX;
}

static void spoil_where(struct io *io)
{
	io->where = NULL;
}

static void spoil_first_device(struct io *io)
{
	io->regions[0].bdev = NULL;
}

static void spoil_last_device(struct io *io)
{
	io->regions[io->num_regions - 1].bdev = NULL;
}

static void spoil_second_read(struct io *io)
{
	io->regions[1] = io->regions[0];
	io->num_regions = 2;
}

static void spoil_empty_second_read(struct io *io)
{
	io->regions[1] = (struct io_region) { };
	io->num_regions = 2;
}

static void spoil_buffer(struct io *io)
{
	io->pages = NULL;
	io->bvec = NULL;
	io->data = NULL;
	io->bio = NULL;
}

static void spoil_callback(struct io *io)
{
	io->fn = NULL;
}

static void spoil_offset(struct io *io)
{
	io->offset = PAGE_SIZE;
}

static void spoil_offset_by_pages(struct io *io)
{
	io->offset = 2 * PAGE_SIZE;
}

static void spoil_offset_by_far(struct io *io)
{
	io->offset = -SECTOR_SIZE;
}

static void spoil_offset_by_most(struct io *io)
{
	io->offset = UINT_MAX;
}

/* The list is as long as the buffer, so this is too far by a sector. */
static void spoil_offset_by_a_sector(struct io *io)
{
	io->offset = SECTOR_SIZE;
}

static void spoil_first_node(struct io *io)
{
	io->pages[0].page = NULL;
}

static void spoil_last_page(struct io *io)
{
	io->pages[1].next = NULL;
}

static void spoil_last_node(struct io *io)
{
	io->pages[2].page = NULL;
}

static void spoil_first_vec(struct io *io)
{
	io->bvec[0].bv_len = 0;
}

static void spoil_last_vec(struct io *io)
{
	io->bvec[2].bv_len = 0;
}

static void spoil_bio_size(struct io *io)
{
	io->bio->bi_iter.bi_size -= SECTOR_SIZE;
}

/* Behind what vmap() returns is a page that is not mapped. */
static void spoil_end_of_memory(struct io *io)
{
	io->data = arena + ARENA_BYTES - PAGE_SIZE;
}

static void spoil_memory(struct io *io)
{
	io->data = arena + ARENA_BYTES;
}

/* Whether something else is wrong with the region, or with where the buffer is. */
static void spoil_page_and_offset(struct io *io)
{
	io->offset = 1;
}

static void spoil_vec_and_offset(struct io *io)
{
	io->bvec[0].bv_offset++;
	io->bvec[0].bv_len--;
	io->bvec[2].bv_len = 0;
}

static void spoil_memory_and_offset(struct io *io)
{
	io->data = arena + ARENA_BYTES - PAGE_SIZE + 1;
}

static void spoil_low_memory(struct io *io)
{
	io->data = (void *)512;
}

static void spoil_error_memory(struct io *io)
{
	io->data = ERR_PTR(-ENOMEM);
}

static const struct refusal {
	const char *name;
	void (*spoil)(struct io *io);
	unsigned int calls;
	bool reads, writes;
	bool only_long;
} refusals[] = {
	{ "no regions", spoil_no_regions, ALL_CALLS, true, true },
	{ "a region too many", spoil_many_regions, ALL_CALLS, false, true },
	{ "UINT_MAX regions", spoil_all_regions, ALL_CALLS, true, true },
	{ "no where", spoil_where, ALL_CALLS, true, true },
	{ "first region has no device", spoil_first_device, ALL_CALLS, true,
	  true },
	{ "last region has no device", spoil_last_device, ALL_CALLS, true,
	  true },
	{ "read of two regions", spoil_second_read, ALL_CALLS, true, false },
	{ "read of two regions, one empty", spoil_empty_second_read, ALL_CALLS,
	  true, false },
	{ "no buffer", spoil_buffer, ALL_CALLS, true, true },
	{ "no callback", spoil_callback, ASYNC_CALLS, true, true },
	{ "offset of a page", spoil_offset, PAGES_CALLS, true, true },
	{ "offset of two pages", spoil_offset_by_pages, PAGES_CALLS, true,
	  true },
	{ "offset of nearly UINT_MAX", spoil_offset_by_far, PAGES_CALLS, true,
	  true },
	{ "offset of UINT_MAX", spoil_offset_by_most, PAGES_CALLS, true, true },
	{ "page list a sector short", spoil_offset_by_a_sector, PAGES_CALLS,
	  true, true, true },
	{ "page list a page short", spoil_last_page, PAGES_CALLS, true, true,
	  true },
	{ "page list without its last page", spoil_last_node, PAGES_CALLS, true,
	  true, true },
	{ "page list without a page", spoil_first_node, PAGES_CALLS, true,
	  true },
	{ "bvec ends early", spoil_last_vec, BVEC_CALLS | BIO_CALLS, true,
	  true, true },
	{ "bvec ends at once", spoil_first_vec, BVEC_CALLS | BIO_CALLS, true,
	  true },
	{ "bio a sector short", spoil_bio_size, BIO_CALLS, true, true },
	{ "memory ends early", spoil_end_of_memory, VM_CALLS, true, true,
	  true },
	{ "memory is not there", spoil_memory, VM_CALLS, true, true },
	{ "page list a byte short and misaligned", spoil_page_and_offset,
	  PAGES_CALLS, true, true, true },
	{ "bvec ends early and is misaligned", spoil_vec_and_offset,
	  BVEC_CALLS | BIO_CALLS, true, true, true },
	{ "memory ends early and is misaligned", spoil_memory_and_offset,
	  VM_CALLS, true, true, true },
	{ "address that is none", spoil_low_memory, VM_CALLS, true, true },
	{ "pointer that is an error", spoil_error_memory, VM_CALLS, true,
	  true },
};

static void describe_refusal(const struct refusal *refusal, char *desc)
{
	strscpy(desc, refusal->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(refusal, refusals, describe_refusal);

static void expect_nothing_done(struct kunit *test, struct test_disk *disk,
				const u8 *data, size_t bytes)
{
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	expect_untouched(test, disk, 0, 32);
	all_bytes(test, data, GUARD, bytes, "the buffer");
}

static void check_refusal(struct kunit *test, enum call call, int rw,
			  const struct shape *shape, struct test_disk *disk)
{
	const struct refusal *refusal = test->param_value;
	size_t bytes = shape->num_sectors << SECTOR_SHIFT;
	struct io *io = new_shaped_io(test, call, rw, shape, disk);
	void *data = io->data;

	memset(data, TEST_DISK_FILLER, bytes);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	test_disk_forget(disk);
	memset(data, GUARD, bytes);

	refusal->spoil(io);
	expect_refused(test, io, -EINVAL);
	if (!is_async(call)) {
		io->error_bits = NULL;
		submit(test, io);
		KUNIT_EXPECT_EQ(test, io->ret, -EINVAL);
	}
	expect_nothing_done(test, disk, data, bytes);
	KUNIT_EXPECT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "%s, %s, %u regions of %u sectors",
			    calls[call].name, rw == READ ? "read" : "write",
			    shape->num_regions, shape->num_sectors);
}

static void arguments_are_refused(struct kunit *test)
{
	const struct refusal *refusal = test->param_value;
	struct test_disk *disk = new_plain_disk(test);
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		if (!(refusal->calls & BIT(call)))
			continue;
		for (i = 0; i < ARRAY_SIZE(shapes); i++) {
			const struct shape *shape = &shapes[i];

			if (refusal->only_long && !is_long(shape))
				continue;
			if (refusal->reads && shape->num_regions == 1)
				check_refusal(test, call, READ, shape, disk);
			if (refusal->writes)
				check_refusal(test, call, WRITE, shape, disk);
		}
	}
}

static void check_operation(struct kunit *test, struct io *io, blk_opf_t opf)
{
	io->rw = DM_IO_OPF(opf);
	expect_refused(test, io, -EINVAL);
	KUNIT_EXPECT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "operation %#x, %u regions of %llu sectors", io->rw,
			    io->num_regions, io->regions[0].count);
}

static void operations_are_refused(struct kunit *test)
{
	static const blk_opf_t refused[] = {
		REQ_OP_ZONE_APPEND,
		REQ_OP_ZONE_RESET,
		REQ_OP_DRV_IN,
		REQ_OP_DRV_OUT,
		(__force blk_opf_t)99,
		(__force blk_opf_t)INT_MAX,
		(__force blk_opf_t)-1,
		REQ_OP_READ | REQ_FUA,
		REQ_OP_READ | REQ_PREFLUSH,
		REQ_OP_READ | REQ_NOWAIT,
		REQ_OP_READ | REQ_POLLED,
		REQ_OP_READ | REQ_NOUNMAP,
		REQ_OP_WRITE | REQ_NOWAIT,
		REQ_OP_WRITE | REQ_POLLED,
		REQ_OP_WRITE | REQ_NOUNMAP,
		REQ_OP_WRITE | REQ_INTEGRITY,
		REQ_OP_FLUSH | REQ_FUA,
		REQ_OP_FLUSH | REQ_PREFLUSH,
	};
	struct test_disk *disk = new_plain_disk(test);
	unsigned int i, j;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct io *io = new_shaped_io(test, param_call(test), WRITE,
					      &shapes[i], disk);

		for (j = 0; j < ARRAY_SIZE(refused); j++)
			check_operation(test, io, refused[j]);
		expect_nothing_done(test, disk, io->data,
				    shapes[i].num_sectors << SECTOR_SHIFT);
	}
}

/*
 * Who owns what until when, and what runs where
 */

KUNIT_ARRAY_PARAM(end_context, end_contexts, describe_end_context);

/* Before the I/O happens, what the caller may take back is overwritten. */
static void check_regions_and_nodes(struct kunit *test, enum call call,
				    const struct shape *shape)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *io = new_shaped_io(test, call, WRITE, shape, disk);
	size_t bytes = shape->num_sectors << SECTOR_SHIFT;
	unsigned int i, num_nodes = DIV_ROUND_UP(bytes, PAGE_SIZE);
	struct page_list *nodes;
	unsigned int seed = new_seed();
	unsigned long error = BIT(shape->num_regions / 2);

	memcpy(io->data, bytes_of(seed), bytes);
	io->where = kmemdup(io->regions, shape->num_regions * sizeof(*io->where),
			    GFP_KERNEL);
	nodes = kmemdup(io->pages, num_nodes * sizeof(*nodes), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, io->where);
	KUNIT_ASSERT_NOT_NULL(test, nodes);
	for (i = 0; i + 1 < num_nodes; i++)
		nodes[i].next = &nodes[i + 1];
	io->pages = nodes;

	/* The region in the middle fails, if there is one. */
	disk->end = END_WHEN_TOLD;
	disk->backwards = true;
	disk->bad_sector = 100;
	disk->bad_sectors = 1;
	submit(test, io);
	memset(io->where, 0xff, shape->num_regions * sizeof(*io->where));
	kfree(io->where);
	memset(nodes, 0xff, num_nodes * sizeof(*nodes));
	kfree(nodes);

	test_disk_release(disk);
	if (shape->num_regions == 1)
		error = 0;
	KUNIT_EXPECT_EQ(test, await(test, io), error ? -EIO : 0);
	KUNIT_EXPECT_EQ(test, io->error, error);
	for (i = 0; i < shape->num_regions; i++)
		if (!(error & BIT(i)))
			expect_on_disk(test, disk, i * 100, bytes_of(seed),
				       bytes);
	expect_untouched(test, disk, shape->num_sectors, 200);
}

static void regions_and_nodes_may_go(struct kunit *test)
{
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		for (i = 0; i < ARRAY_SIZE(shapes); i++)
			if (is_async(call))
				check_regions_and_nodes(test, call, &shapes[i]);
}

/* The buffer goes, with all that describes it, as its I/O ends. */
static void free_buffer_of(unsigned long error, void *context)
{
	struct io *io = context;

	memset(io->data, 0xff, SZ_8K);
	kfree(io->data);
	memset(io->bvec, 0xff, 2 * sizeof(*io->bvec));
	kfree(io->bvec);
	memset(io->bio, 0xff, sizeof(*io->bio));
	kfree(io->bio);
	note_end(error, context);
}

static void check_passing_buffer(struct kunit *test, enum call call,
				 struct test_disk *disk,
				 unsigned int num_regions)
{
	struct page_list *nodes = test_alloc(test, 2 * sizeof(*nodes));
	struct io *io = new_io(test, call, WRITE, NULL);
	unsigned int seed = new_seed();

	io->data = kmalloc(SZ_8K, GFP_KERNEL);
	io->bvec = kcalloc(2, sizeof(*io->bvec), GFP_KERNEL);
	io->bio = kzalloc(sizeof(*io->bio), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, io->data);
	KUNIT_ASSERT_NOT_NULL(test, io->bvec);
	KUNIT_ASSERT_NOT_NULL(test, io->bio);
	memcpy(io->data, bytes_of(seed), SZ_8K);

	nodes[0].page = virt_to_page(io->data);
	nodes[0].next = &nodes[1];
	nodes[1].page = virt_to_page(io->data + SZ_8K - 1);
	io->pages = nodes;
	bvec_set_page(&io->bvec[0], virt_to_page(io->data), SZ_8K,
		      offset_in_page(io->data));
	bio_init(io->bio, NULL, io->bvec, 1, REQ_OP_WRITE);
	io->bio->bi_vcnt = 1;
	io->bio->bi_iter.bi_size = SZ_8K;
	io->fn = free_buffer_of;

	add_region(io, disk->bdev, 0, 16);
	add_region(io, disk->bdev, 300, 16);
	add_region(io, disk->bdev, 100, 16);
	io->num_regions = num_regions;
	KUNIT_EXPECT_EQ(test, perform(test, io), num_regions > 1 ? -EIO : 0);
	KUNIT_EXPECT_EQ(test, io->error, num_regions > 1 ? BIT(1) : 0);
	expect_on_disk(test, disk, 0, bytes_of(seed), SZ_8K);
	if (num_regions == 3)
		expect_on_disk(test, disk, 100, bytes_of(seed), SZ_8K);
}

static void buffer_may_go_in_callback(struct kunit *test)
{
	const struct end_context *context = test->param_value;
	struct test_disk *disk = new_plain_disk(test);
	enum call call;

	get_reserve(test, 1);
	disk->end = context->end;
	disk->bad_sector = 300;
	disk->bad_sectors = 1;
	for (call = 0; call < NUM_CALLS; call++) {
		if (!is_async(call))
			continue;
		check_passing_buffer(test, call, disk, 1);
		check_passing_buffer(test, call, disk, 3);
	}
}

/* Wherever a bio ends: the callback comes once, after all of them. */
static void callback_comes_once(struct kunit *test)
{
	const struct end_context *context = test->param_value;
	struct test_disk *disk = new_plain_disk(test);
	struct test_disk *held = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	enum call call;

	get_reserve(test, 1);
	held->end = END_WHEN_TOLD;
	disk->end = context->end;
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);
		unsigned int seed = new_seed();

		fill_buffer(buffer, seed);
		add_region(io, disk->bdev, 0, 32);
		add_region(io, disk->bdev, 50, 20);
		add_region(io, disk->bdev, 100, 1);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_on_disk(test, disk, 0, bytes_of(seed), SZ_16K);
		expect_on_disk(test, disk, 50, bytes_of(seed),
			       20 * SECTOR_SIZE);
		expect_on_disk(test, disk, 100, bytes_of(seed), SECTOR_SIZE);
		if (!is_async(call))
			continue;
		KUNIT_EXPECT_EQ(test, io->ended_in_hardirq,
				context->end == END_IN_HARDIRQ);

		/* Also if there is but one. */
		io->num_regions = 1;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, io->ended_in_hardirq,
				context->end == END_IN_HARDIRQ);

		/* Not before the last one, either. */
		io->num_regions = 3;
		io->regions[1].bdev = held->bdev;
		submit(test, io);
		test_disk_drain(disk);
		KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), 2);
		test_disk_release(held);
		KUNIT_EXPECT_EQ(test, await(test, io), 0);
	}
	KUNIT_EXPECT_EQ(test, disk->ended_in_hardirq,
			context->end == END_IN_HARDIRQ);
	KUNIT_EXPECT_EQ(test, disk->ended_in_softirq,
			context->end == END_IN_SOFTIRQ);
}

/* A synchronous call that returned early would not have read anything yet. */
static void sync_call_waits(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), READ, buffer);

	get_reserve(test, 1);
	disk->end = END_WHEN_TOLD;
	add_region(io, disk->bdev, 0, 8);
	start_io(io);
	KUNIT_EXPECT_EQ(test, call_waits(test, io, disk, 1),
			!is_async(io->call));
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
	all_bytes(test, buffer->data, TEST_DISK_FILLER, SZ_4K, "what was read");
}

#if IS_ENABLED(CONFIG_KPROBES) && IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP)

static struct task_struct *watched;
static unsigned int num_might_sleep;

static int count_might_sleep(struct kprobe *probe, struct pt_regs *regs)
{
	if (current == READ_ONCE(watched))
		num_might_sleep++;
	return 0;
}

/* Also when nothing is to be done, lest the mistake shows only under load. */
static void calls_say_that_they_may_sleep(struct kunit *test)
{
	struct kprobe probe = {
		.symbol_name = "__might_sleep",
		.pre_handler = count_might_sleep,
	};
	enum call call;

	get_reserve(test, 1);
	KUNIT_ASSERT_EQ(test, register_kprobe(&probe), 0);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, NULL);

		add_region(io, NULL, 0, 0);
		num_might_sleep = 0;
		WRITE_ONCE(watched, current);
		make_call(io);
		WRITE_ONCE(watched, NULL);
		KUNIT_EXPECT_GE_MSG(test, num_might_sleep, 1, "%s",
				    calls[call].name);
		check_return(test, io);
	}
	unregister_kprobe(&probe);
}

#endif

static const struct short_case short_cases[] = {
	SHORT_CASE_PARAM(operations_are_refused, calls),
	SHORT_CASE_PARAM(callback_comes_once, end_contexts),
	SHORT_CASE_PARAM(buffer_may_go_in_callback, end_contexts),
	SHORT_CASE(regions_and_nodes_may_go),
};

KUNIT_ARRAY_PARAM(short_case, short_cases, describe_short_case);

static struct kunit_case contract_cases[] = {
	KUNIT_CASE_PARAM(arguments_are_refused, refusal_gen_params),
	KUNIT_CASE_PARAM(operations_are_refused, call_gen_params),
	KUNIT_CASE(regions_and_nodes_may_go),
	KUNIT_CASE_PARAM(buffer_may_go_in_callback, end_context_gen_params),
	KUNIT_CASE_PARAM(callback_comes_once, end_context_gen_params),
	KUNIT_CASE_PARAM(sync_call_waits, call_gen_params),
#if IS_ENABLED(CONFIG_KPROBES) && IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP)
	KUNIT_CASE(calls_say_that_they_may_sleep),
#endif
	KUNIT_CASE_PARAM(results_hold_without_memory, short_case_gen_params),
	{}
};

struct kunit_suite contract_suite = {
	.name = "dm_io_contract",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = contract_cases,
};
