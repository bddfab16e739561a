/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: trace events of the library
 *
 * Documentation/tracing.rst shows what to do with them. A request is known by the
 * same pointer in all of its events.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dm_io

#if !defined(DM_IO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DM_IO_TRACE_H

#include <linux/blk_types.h>
#include <linux/blkdev.h>
#include <linux/blktrace_api.h>
#include <linux/tracepoint.h>

/*
 * Room for what blk_fill_rwbs() writes, on any kernel. What it leaves has to be
 * cleared, for tools that take the whole array for the value.
 */
#define DM_IO_RWBS_LEN	16

/* A call was found good: what it is about to do. */
TRACE_EVENT(dm_io_request_submit,
	TP_PROTO(const void *request, struct block_device *bdev, blk_opf_t opf,
		 unsigned int num_regions, u64 bytes, bool async),

	TP_ARGS(request, bdev, opf, num_regions, bytes, async),

	TP_STRUCT__entry(
		__field(const void *,	request)
		__field(dev_t,		dev)
		__field(unsigned int,	num_regions)
		__field(u64,		bytes)
		__field(bool,		async)
		__array(char,		rwbs,	DM_IO_RWBS_LEN)
	),

	TP_fast_assign(
		__entry->request	= request;
		__entry->dev		= bdev ? bdev->bd_dev : 0;
		__entry->num_regions	= num_regions;
		__entry->bytes		= bytes;
		__entry->async		= async;
		memset(__entry->rwbs, 0, sizeof(__entry->rwbs));
		blk_fill_rwbs(__entry->rwbs, opf);
	),

	TP_printk("%p %s %s regions=%u bytes=%llu first=%d:%d",
		  __entry->request, __entry->async ? "async" : "sync",
		  __entry->rwbs, __entry->num_regions, __entry->bytes,
		  MAJOR(__entry->dev), MINOR(__entry->dev))
);

/* A bio is about to be submitted. */
TRACE_EVENT(dm_io_bio_submit,
	TP_PROTO(const void *request, unsigned int region,
		 const struct bio *bio),

	TP_ARGS(request, region, bio),

	TP_STRUCT__entry(
		__field(const void *,	request)
		__field(sector_t,	sector)
		__field(dev_t,		dev)
		__field(unsigned int,	nr_sectors)
		__field(unsigned int,	region)
		__array(char,		rwbs,	DM_IO_RWBS_LEN)
	),

	TP_fast_assign(
		__entry->request	= request;
		__entry->sector		= bio->bi_iter.bi_sector;
		__entry->dev		= bio->bi_bdev->bd_dev;
		__entry->nr_sectors	= bio->bi_iter.bi_size >> SECTOR_SHIFT;
		__entry->region		= region;
		memset(__entry->rwbs, 0, sizeof(__entry->rwbs));
		blk_fill_rwbs(__entry->rwbs, bio->bi_opf);
	),

	TP_printk("%p region=%u %d:%d %s %llu + %u",
		  __entry->request, __entry->region, MAJOR(__entry->dev),
		  MINOR(__entry->dev), __entry->rwbs,
		  (unsigned long long)__entry->sector, __entry->nr_sectors)
);

/*
 * A region failed: where its bio started or, if none was submitted, where it was
 * to go on. The request is NULL if all regions of the call failed before.
 */
TRACE_EVENT(dm_io_region_fail,
	TP_PROTO(const void *request, unsigned int region,
		 struct block_device *bdev, blk_opf_t opf, sector_t sector,
		 int error),

	TP_ARGS(request, region, bdev, opf, sector, error),

	TP_STRUCT__entry(
		__field(const void *,	request)
		__field(sector_t,	sector)
		__field(dev_t,		dev)
		__field(unsigned int,	region)
		__field(int,		error)
		__array(char,		rwbs,	DM_IO_RWBS_LEN)
	),

	TP_fast_assign(
		__entry->request	= request;
		__entry->sector		= sector;
		__entry->dev		= bdev->bd_dev;
		__entry->region		= region;
		__entry->error		= error;
		memset(__entry->rwbs, 0, sizeof(__entry->rwbs));
		blk_fill_rwbs(__entry->rwbs, opf);
	),

	TP_printk("%p region=%u %d:%d %s %llu error=%d",
		  __entry->request, __entry->region, MAJOR(__entry->dev),
		  MINOR(__entry->dev), __entry->rwbs,
		  (unsigned long long)__entry->sector, __entry->error)
);

/*
 * The last bio has ended, and the caller is about to be told. Not for requests
 * that were submitted before this event was enabled: nobody took the time.
 */
TRACE_EVENT(dm_io_request_complete,
	TP_PROTO(const void *request, unsigned long error_bits, u64 latency_ns),

	TP_ARGS(request, error_bits, latency_ns),

	TP_STRUCT__entry(
		__field(const void *,	request)
		__field(unsigned long,	error_bits)
		__field(u64,		latency_ns)
	),

	TP_fast_assign(
		__entry->request	= request;
		__entry->error_bits	= error_bits;
		__entry->latency_ns	= latency_ns;
	),

	TP_printk("%p error_bits=0x%lx latency_ns=%llu", __entry->request,
		  __entry->error_bits, __entry->latency_ns)
);

/* A request has found neither memory nor anything left of the reserve. */
TRACE_EVENT(dm_io_reserve_empty,
	TP_PROTO(unsigned int num_pages),

	TP_ARGS(num_pages),

	TP_STRUCT__entry(
		__field(unsigned int,	num_pages)
	),

	TP_fast_assign(
		__entry->num_pages	= num_pages;
	),

	TP_printk("all %u pages of the reserve are in flight",
		  __entry->num_pages)
);

#endif /* DM_IO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE dm-io-trace
#include <trace/define_trace.h>
