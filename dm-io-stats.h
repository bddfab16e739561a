/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of dm-io.c, which alone includes it: what is counted, by each CPU for
 * itself, and put together when somebody asks.
 */
#ifndef _DM_IO_STATS_H
#define _DM_IO_STATS_H

#include <linux/blk_types.h>
#include <linux/debugfs.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>

#include "dm-io-request.h"
#include "dm-io-test.h"

/* Why a region may fail. The last one stands for all others. */
static const struct {
	int error;
	const char *name;
} error_names[] = {
#define ERROR_NAME(name)	{ -(name), #name }
	ERROR_NAME(EIO),
	ERROR_NAME(EOPNOTSUPP),
	ERROR_NAME(ERANGE),
	ERROR_NAME(EINVAL),
	ERROR_NAME(EROFS),
	ERROR_NAME(EINTR),
	ERROR_NAME(EFAULT),
	ERROR_NAME(ENOMEM),
	ERROR_NAME(ENOSPC),
	ERROR_NAME(ETIMEDOUT),
	ERROR_NAME(ENOLINK),
	ERROR_NAME(EREMOTEIO),
	ERROR_NAME(EBADE),
	ERROR_NAME(ENODATA),
	ERROR_NAME(EILSEQ),
	ERROR_NAME(EBUSY),
	ERROR_NAME(EAGAIN),
	ERROR_NAME(ENODEV),
	{ 0, "other" },
#undef ERROR_NAME
};

static const char *const op_names[] = {
	[(__force int)REQ_OP_READ]		= "READ",
	[(__force int)REQ_OP_WRITE]		= "WRITE",
	[(__force int)REQ_OP_FLUSH]		= "FLUSH",
	[(__force int)REQ_OP_DISCARD]		= "DISCARD",
	[(__force int)REQ_OP_SECURE_ERASE]	= "SECURE_ERASE",
	[(__force int)REQ_OP_WRITE_ZEROES]	= "WRITE_ZEROES",
};

struct io_stats {
	struct {
		u64 requests;
		u64 bytes;
	} ops[ARRAY_SIZE(op_names)];
	u64 errors[ARRAY_SIZE(error_names)];
	u64 reserve_empty;
	u64 on_stack;
};

static DEFINE_PER_CPU(struct io_stats, io_stats);

static __always_inline void count_request(blk_opf_t opf, u64 bytes)
{
	unsigned int op = (__force unsigned int)(opf & REQ_OP_MASK);

	this_cpu_inc(io_stats.ops[op].requests);
	this_cpu_add(io_stats.ops[op].bytes, bytes);
}

static unsigned int error_index(int error)
{
	unsigned int i = 0;

	while (error_names[i].error && error_names[i].error != error)
		i++;
	return i;
}

/* While another CPU counts, a 32-bit one may see half of a new value. */
static u64 read_count(const u64 *count)
{
	u64 value = READ_ONCE(*count);

	if (BITS_PER_LONG == 32) {
		u64 again;

		while ((again = READ_ONCE(*count)) != value)
			value = again;
	}
	return value;
}

static u64 sum_of_cpus(const u64 __percpu *counts)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += read_count(per_cpu_ptr(counts, cpu));
	return sum;
}

static int stats_show(struct seq_file *file, void *data)
{
	unsigned int wanted, missing, users, i;

	raw_spin_lock_irq(&reserve.lock);
	wanted = reserve.wanted;
	missing = reserve.missing;
	users = reserve.users;
	raw_spin_unlock_irq(&reserve.lock);

	seq_printf(file, "reserve: %u pages for %u users, %u in use\n", wanted,
		   users, missing);
	seq_printf(file, "reserve found empty: %llu times\n",
		   sum_of_cpus(&io_stats.reserve_empty));
	seq_printf(file, "went ahead on the stack: %llu requests\n",
		   sum_of_cpus(&io_stats.on_stack));

	seq_printf(file, "\n%-14s %14s %18s\n", "operation", "requests", "bytes");
	for (i = 0; i < ARRAY_SIZE(op_names); i++)
		if (op_names[i])
			seq_printf(file, "%-14s %14llu %18llu\n", op_names[i],
				   sum_of_cpus(&io_stats.ops[i].requests),
				   sum_of_cpus(&io_stats.ops[i].bytes));

	seq_printf(file, "\n%-14s %14s\n", "error", "regions");
	for (i = 0; i < ARRAY_SIZE(error_names); i++) {
		u64 regions = sum_of_cpus(&io_stats.errors[i]);

		if (regions)
			seq_printf(file, "%-14s %14llu\n", error_names[i].name,
				   regions);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)

u64 dm_io_test_stat(enum dm_io_test_stat stat, int which)
{
	switch (stat) {
	case STAT_REQUESTS:
		return sum_of_cpus(&io_stats.ops[which].requests);
	case STAT_BYTES:
		return sum_of_cpus(&io_stats.ops[which].bytes);
	case STAT_ERRORS:
		return sum_of_cpus(&io_stats.errors[error_index(which)]);
	case STAT_RESERVE_EMPTY:
		return sum_of_cpus(&io_stats.reserve_empty);
	case STAT_ON_STACK:
		return sum_of_cpus(&io_stats.on_stack);
	case STAT_USERS:
		return reserve.users;
	case STAT_RESERVE:
		return reserve.wanted;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(dm_io_test_stat);

#endif

#endif
