/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: stands before the kernel's <linux/dm-io.h>
 *
 * For a Kbuild with NOSTDINC_FLAGS += -I.../kernel-api, whose directory comes before
 * the kernel's own; that of ccflags-y would not.
 */
#include <linux/types.h>
#include <linux/blk_types.h>
#include "../../dm-io-kernel.h"
