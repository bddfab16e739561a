# SPDX-License-Identifier: GPL-2.0-only
#
# For people. What the kernel's build system reads is Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: modules clean demo vm check lint bench bench-check help

modules: $(KDIR)/Makefile
	+$(MAKE) -C $(KDIR) M=$(CURDIR) modules

clean: $(KDIR)/Makefile
	+$(MAKE) -C $(KDIR) M=$(CURDIR) clean

$(KDIR)/Makefile:
	@echo "error: no kernel headers in $(KDIR): install those of the running kernel" >&2
	@echo "(on Debian: apt-get install linux-headers-$$(uname -r)) or name others with KDIR=" >&2
	@exit 1

demo:
	@scripts/demo

vm:
	@scripts/vm

check:
	@scripts/check

lint:
	@scripts/lint

bench:
	@scripts/bench

bench-check:
	@scripts/bench --check

help:
	@echo 'make [modules]   build dm-io.ko and dm-replica.ko for the kernel of KDIR='
	@echo '                 ($(KDIR))'
	@echo 'make clean       remove what that has built'
	@echo 'make demo        see the library and a target at work on a stock kernel'
	@echo 'make vm          a shell in the virtual machine that the demo runs in'
	@echo 'make check       the tests; KUNIT_FILTER=... for a part of them'
	@echo 'make lint        checkpatch, sparse, compiler warnings, kernel-doc, shellcheck'
	@echo 'make bench       what a request costs'
	@echo 'make bench-check the same, fails when it costs more than it may'
	@echo
	@echo 'demo, vm and check take KERNEL=, a series such as 6.1; 6.12 if not given.'
	@echo 'The scripts of the same names explain themselves with --help.'
