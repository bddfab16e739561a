# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Virtual machines: what their user space consists of, what they run under, how they
# are run, and what a kernel's log may not hold. To be sourced behind lib-packages.sh.

# Where the parts of QEMU and the guest's tools come from.
vm_packages="qemu-system-x86 cpio xz-utils kmod dmsetup e2fsprogs mount busybox|busybox-static"

# What the guest gets besides busybox: the real tools. Those from essential
# packages are everywhere.
guest_tools="bash blockdev cat chmod cmp cp dash dd df dmsetup du e2fsck find grep kmod
	ls mke2fs mkdir mount mv rm sed sha256sum sleep sort stat stty sync truncate
	tune2fs umount xargs"

# Stock modules the guest gets, with what they depend on.
guest_modules="brd null_blk loop configfs dm-mod dm-bufio dm-crypt dm-delay
	dm-flakey dm-integrity dm-log-writes dm-mirror dm-raid dm-snapshot dm-thin-pool
	dm-zero"

# guest_base IMAGE - print an initramfs with the tools, the stock modules of that
# kernel image and an /init that runs /guest
guest_base() (
	# shellcheck disable=SC2086 # a list of words
	need $vm_packages || exit 1
	image=$1
	release=$(ls "$image/lib/modules") || exit 1
	init=$(dirname "$0")/guest-init
	paths=
	for tool in busybox $guest_tools; do
		path=$(command -v "$tool") ||
			die "no $tool on this system, the guest needs it: install it"
		paths="$paths $path"
	done
	# shellcheck disable=SC2086 # lists of words
	key=$(
		{
			echo "$image" $guest_modules
			# shellcheck disable=SC2012 # names of system files
			ls -lL --full-time $paths "$image/vmlinuz"
			cat "$init" "$(dirname "$0")/lib-vm.sh"
		} | sha256sum | cut -c 1-16
	)
	base=$(cache_dir)/guest/$release-$key.cpio || exit 1
	mkdir -p "${base%/*}"
	# shellcheck disable=SC2086 # a list of words
	with_lock guest guest_base_build "$base" "$image" "$release" "$init" $paths || exit 1
	touch "$base"
	printf '%s\n' "$base"
)

# guest_base_build BASE IMAGE RELEASE INIT TOOL...
guest_base_build() (
	base=$1
	image=$2
	release=$3
	init=$4
	shift 4
	[ ! -e "$base" ] || exit 0
	say "packing the guest's tools and stock modules"
	root=$base.root
	log=$base.log
	rm -rf "$root"
	mkdir -p "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/root" "$root/mnt" \
		"$root/busybox" "$root/usr/bin" "$root/etc" "$root/run" \
		"$root/lib/modules/$release"
	ln -s usr/bin "$root/bin"
	ln -s bin "$root/usr/sbin"
	cp "$init" "$root/init"
	chmod 755 "$root/init"
	for path in "$@"; do
		cp -L "$path" "$root/usr/bin/${path##*/}"
	done
	copy_libraries "$root" "$@"
	for name in insmod rmmod lsmod modprobe modinfo depmod; do
		ln -s kmod "$root/usr/bin/$name"
	done
	for name in mkfs.ext2 mkfs.ext4; do
		ln -s mke2fs "$root/usr/bin/$name"
	done
	ln -s e2fsck "$root/usr/bin/fsck.ext4"
	# Not busybox, which prefers its own commands to the real ones.
	ln -s dash "$root/usr/bin/sh"
	cp /etc/mke2fs.conf "$root/etc/"
	ln -s ../proc/mounts "$root/etc/mtab"
	echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"

	for name in $guest_modules; do
		# Not every kernel has every one of them.
		modprobe -d "$image" -S "$release" --show-depends "$name" 2>>"$log" |
			sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | sort -u | while read -r module; do
		to=$root/lib/modules/$release/${module#"$image/lib/modules/$release/"}
		mkdir -p "${to%/*}"
		case $module in
		*.xz) xz -dc "$module" >"${to%.xz}" ;;
		*) cp "$module" "$to" ;;
		esac || exit 1
	done || die "could not unpack the stock modules of $image" "$log"
	cp "$image/lib/modules/$release"/modules.builtin* \
		"$image/lib/modules/$release/modules.order" "$root/lib/modules/$release/" 2>>"$log"
	depmod -b "$root" "$release" 2>>"$log" || die "depmod failed in $root" "$log"
	pack "$root" >"$base.new" || die "could not pack $root"
	mv "$base.new" "$base"
	rm -rf "$root"
	find "${base%/*}" -name '*.cpio' -mtime +7 -delete
)

# copy_libraries ROOT PROGRAM... - copy the libraries of these programs. A static one
# has none, which is fine
copy_libraries() {
	copy_root=$1
	shift
	for program in "$@"; do
		ldd "$program" 2>/dev/null
	done | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*\) .*/\1/p' | sort -u |
		while read -r library; do
			mkdir -p "$copy_root${library%/*}"
			cp -L "$library" "$copy_root$library"
		done
}

# pack DIRECTORY - write it as a cpio archive to standard output
pack() (
	cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet
)

# What a kernel's log holds when something is wrong, in any kernel and, with capitals
# or without, in one that looks for mistakes. Regular expressions for grep -E and Python
kernel_complaint_patterns='cut here|Call Trace|BUG:|BUG at|Oops|Kernel panic|WARNING: |UBSAN:'
kernel_complaint_patterns="$kernel_complaint_patterns|KASAN:|KCSAN:|KFENCE:|general protection fault"
kernel_complaint_patterns="$kernel_complaint_patterns|blocked for more than|soft lockup|hard LOCKUP"
kernel_complaint_patterns="$kernel_complaint_patterns|stalls? (on|detected)|self-detected stall|refcount_t:"
kernel_complaint_patterns="$kernel_complaint_patterns|scheduling while atomic|list_(add|del) corruption"
debug_complaint_patterns='call trace:|BUG [a-z]|kmemleak: [0-9]+ new|possible (circular|recursive|irq)'
debug_complaint_patterns="$debug_complaint_patterns|suspicious rcu|inconsistent lock|held lock freed|ODEBUG:"
debug_complaint_patterns="$debug_complaint_patterns|bad page|locks? (still )?held|corruption|unable to handle"
debug_complaint_patterns="$debug_complaint_patterns|turning off the locking"

# kernel_complaints LOG - print the lines of a kernel log no healthy run has
kernel_complaints() {
	grep -E "$kernel_complaint_patterns" "$1"
}

# complaints LOG - print what no kernel log of a good run holds, of a kernel that looks
# for mistakes
complaints() {
	{
		kernel_complaints "$1" || :
		grep -E -i "$debug_complaint_patterns" "$1" || :
	} | sort -u
}

# choose_accel - set ACCEL to kvm or tcg, whichever has been seen to work here, or
# what the environment asks for
choose_accel() {
	case ${ACCEL-} in
	kvm | tcg)
		[ -n "${accel_said-}" ] || say "accelerator: $ACCEL, as asked for with ACCEL"
		accel_said=yes
		return 0
		;;
	'') ;;
	*) die "ACCEL is '$ACCEL': set it to kvm or tcg, or leave it out" ;;
	esac
	accel_verdict=$(accel_verdict) || exit 1
	ACCEL=${accel_verdict%% *}
	say "accelerator: $ACCEL, ${accel_verdict#* }"
	accel_said=yes
}

# accel_verdict - print `ACCEL REASON`, out of the cache when this boot of the
# host, this QEMU and this kernel have been tried
accel_verdict() (
	if [ ! -e /dev/kvm ]; then
		echo "tcg since there is no /dev/kvm"
		exit 0
	fi
	if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
		echo "tcg since /dev/kvm is not accessible to $(id -un)"
		exit 0
	fi
	# shellcheck disable=SC2086 # a list of words
	need $vm_packages || exit 1
	image=$(kernel_image 6.12) || exit 1
	key=$(
		{
			cat /proc/sys/kernel/random/boot_id
			qemu-system-x86_64 --version
			echo "$image"
		} | sha256sum | cut -c 1-16
	)
	verdict=$(cache_dir)/accel/$key || exit 1
	mkdir -p "${verdict%/*}"
	with_lock accel accel_probe "$verdict" "$image" || exit 1
	cat "$verdict"
)

accel_probe() (
	verdict=$1
	[ ! -e "$verdict" ] || exit 0
	say "trying KVM with a probe boot"
	rm -rf "$verdict.root"
	mkdir -p "$verdict.root"
	printf '#!/bin/sh\n' >"$verdict.root/guest"
	chmod 755 "$verdict.root/guest"
	base=$(guest_base "$2") || exit 1
	{
		cat "$base"
		pack "$verdict.root"
	} >"$verdict.cpio"
	if ACCEL=kvm run_vm -t 15 "$2/vmlinuz" "$verdict.cpio" "$verdict.log" 2>"$verdict.error"; then
		echo "kvm since a probe boot worked" >"$verdict.new"
	else
		echo "tcg since a probe boot under KVM failed ($(sed -n 's/^error: //p' "$verdict.error"))" >"$verdict.new"
	fi
	rm -rf "$verdict.root" "$verdict.cpio" "$verdict.error"
	mv "$verdict.new" "$verdict"
)

# racing_qemu - print the program and options of a QEMU for x86 whose processors, each in
# a thread of its own, can be used: before 8.1, an emulated processor may run code that
# another one has just patched. It is this system's, or that of its backports, unpacked
racing_qemu() (
	# shellcheck disable=SC2086 # a list of words
	need $vm_packages || exit 1
	if qemu_races qemu-system-x86_64; then
		command -v qemu-system-x86_64
		exit 0
	fi
	refresh_state backports
	config=$(apt_config backports) || exit 1
	version=$(apt-cache -c "$config" madison qemu-system-x86 2>/dev/null |
		awk -F ' *[|] *' '/Packages$/ { print $2; exit }')
	[ -n "$version" ] ||
		die "QEMU is $(qemu_version) here, and there is no newer one among this system's backports"
	dir=$(cache_dir)/qemu/$(printf '%s' "$version" | tr ':' '-') || exit 1
	with_lock qemu fetch_qemu "$dir" "$version" || exit 1
	qemu_races "$dir/usr/bin/qemu-system-x86_64" ||
		die "the QEMU unpacked in $dir does not run here: $("$dir/usr/bin/qemu-system-x86_64" --version 2>&1 | head -n 1)"
	echo "$dir/usr/bin/qemu-system-x86_64 -L $dir/usr/share/qemu -L $dir/usr/share/seabios"
)

qemu_version() {
	qemu-system-x86_64 --version | sed -n 's/.*version \([0-9.]*\).*/\1/p'
}

# qemu_races PROGRAM - whether it is 8.1 or later
qemu_races() {
	"$1" --version 2>/dev/null | awk '
		{
			for (i = 1; i < NF; i++)
				if ($i == "version" && split($(i + 1), part, "."))
					good = part[1] * 1000 + part[2] >= 8001
		}
		END { exit !good }'
}

# fetch_qemu DIRECTORY VERSION
fetch_qemu() (
	[ ! -e "$1/complete" ] || exit 0
	rm -rf "$1"
	mkdir -p "$1"
	say "downloading QEMU $2"
	fetch_packages backports "$2" "$1" qemu-system-x86 qemu-system-common qemu-system-data ||
		die "could not fetch QEMU $2"
	touch "$1/complete"
)

# run_vm [OPTION]... KERNEL INITRAMFS LOG - boot under $ACCEL, show what the guest
# writes to its terminal, return the exit status of the guest's program
#
#	-t SECONDS	time limit of the whole run, 120 by default
#	-m MIB		memory of the guest, 1536 by default
#	-s CPUS		processors of the guest; 2 by default, 1 under TCG
#	-r		processors that race under TCG, too: 2 by default
#	-a APPEND	further kernel parameters
#	-q OPTIONS	further options of QEMU, separated by spaces
#	-i		interactive: the guest's terminal is this one
#
# The kernel's console goes to LOG. A guest that does not come to its end in time,
# or not at all, ends the script.
run_vm() (
	limit=120
	memory=1536
	cpus=
	append=
	options=
	interactive=
	qemu_command=qemu-system-x86_64
	OPTIND=1
	while getopts t:m:s:a:q:ri option; do
		case $option in
		t) limit=$OPTARG ;;
		m) memory=$OPTARG ;;
		s) cpus=$OPTARG ;;
		a) append=$OPTARG ;;
		q) options=$OPTARG ;;
		r)
			qemu_command=$(racing_qemu) || exit 1
			case $ACCEL in
			kvm) options="-accel kvm -cpu host $options" ;;
			*) options="-accel tcg,thread=multi -cpu max $options" ;;
			esac
			append="mitigations=off norandmaps $append"
			;;
		i) interactive=yes ;;
		*) die "run_vm: wrong option" ;;
		esac
	done
	shift $((OPTIND - 1))
	kernel=$1
	initramfs=$2
	log=$3
	case $options:$ACCEL in
	*-accel*) ;;
	*:kvm) options="-accel kvm -cpu host $options" ;;
	*:tcg)
		# Before 8.1, QEMU may let an emulated processor run code that
		# another one has just patched (tracepoints, static keys), and
		# that ends in an oops now and then. So there is only one.
		options="-accel tcg,thread=single -cpu max $options"
		# It also keeps what it has translated by the address that a
		# program runs at. With a new one for each process, libc's pages
		# come to have so many translations that to free one of these
		# pages takes minutes.
		append="mitigations=off norandmaps $append"
		: "${cpus:=1}"
		;;
	esac
	rm -f "$log" "$log.status"
	if [ -n "$interactive" ]; then
		terminal="-chardev stdio,id=terminal,mux=on,signal=off -mon chardev=terminal"
	else
		terminal="-chardev stdio,id=terminal,signal=off"
		append="terminal=raw $append"
		exec </dev/null
	fi
	status=0
	# shellcheck disable=SC2086 # lists of words
	timeout --foreground -k 5 "$limit" $qemu_command \
		-nodefaults -no-reboot -bios qboot.rom -display none \
		-m "$memory" -smp "${cpus:-2}" $options $terminal \
		-chardev file,id=console,path="$log" -serial chardev:console \
		-serial chardev:terminal \
		-chardev file,id=status,path="$log.status" -serial chardev:status \
		-kernel "$kernel" -initrd "$initramfs" \
		-append "console=ttyS0 panic=-1 $append" 2>"$log.qemu" || status=$?
	guest=$(tr -d '\r' <"$log.status" 2>/dev/null | sed -n 's/^exit //p')
	if [ -n "$guest" ]; then
		rm -f "$log.status" "$log.qemu"
		exit "$guest"
	fi
	# Ctrl-A X
	if [ -n "$interactive" ] && [ $status = 0 ] &&
	   ! kernel_complaints "$log" >/dev/null; then
		rm -f "$log.status" "$log.qemu"
		exit 0
	fi
	if [ $status = 124 ] || [ $status = 137 ]; then
		# The guest may have stopped in the middle of a line.
		printf '\n'
		die "the virtual machine did not come to its end in $limit seconds" "$log"
	fi
	if [ -s "$log.qemu" ]; then
		die "QEMU: $(head -n 1 "$log.qemu")" "$log.qemu"
	fi
	die "the virtual machine ended before its program did: $(kernel_complaints "$log" | head -n 1)" "$log"
)
