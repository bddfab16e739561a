# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Building for the kernels that lib-packages.sh fetches: headers that this system's
# compiler can use, the modules, and kernels with this project in their tree. To be
# sourced behind lib-packages.sh.
#
# shellcheck disable=SC2154 # what the script sets

# kernel_headers SERIES - print the build directory that belongs to that kernel,
# to be passed as KDIR; what is needed to build there gets installed
kernel_headers() (
	dir=$(kernel_fetch headers "$1") || exit 1
	build=$(readlink -f "$dir/build")
	compiler=$(sed -n 's/^CC = .*\(gcc-[0-9]*\)$/\1/p' "$build/.kernelvariables")
	libraries=$(tr ',' '\n' <"$dir/depends" | sed -n 's/^ *\(lib[^ ]*\|pahole\).*/\1/p' | sort -u)
	for package in $libraries $compiler make; do
		if ! package_offered "$package"; then
			rebuilt_headers "$1" "$dir"
			exit
		fi
	done
	# shellcheck disable=SC2086 # a list of words
	need $libraries $compiler make || exit 1
	if ldd "$build"/scripts/mod/modpost "$build"/tools/objtool/objtool* 2>&1 |
	   grep -q 'not found'; then
		rebuilt_headers "$1" "$dir"
		exit
	fi
	printf '%s\n' "$build"
)

# rebuilt_headers SERIES DIRECTORY - the same for headers that were made for a newer
# system, whose compiler or libraries this one does not have: print a directory with
# their configuration and symbols, and tools built here from the same version's source
rebuilt_headers() (
	source=$(kernel_source "$1") || exit 1
	version=${source%/linux}
	[ "${version##*/}" = "${2##*/}" ] ||
		die "the headers of Linux $1 have version ${2##*/}, its source has ${version##*/}: try again when the mirror offers the same of both"
	need bc bison flex gcc libc6-dev libelf-dev libssl-dev make pahole perl python3 xz-utils || exit 1
	build=$(readlink -f "$2/build")
	rebuilt=$2/usr/src/rebuilt/${build##*/}
	with_lock "headers-$1" rebuild_headers "$build" "$source" "$rebuilt" || exit 1
	printf '%s\n' "$rebuilt"
)

# clang_headers SERIES - print a directory like that of a kernel built with clang, as
# there is none in Debian: the configuration is that of Debian's, as far as clang can
clang_headers() (
	dir=$(kernel_fetch headers "$1") || exit 1
	source=$(kernel_source "$1") || exit 1
	need bc bison flex gcc libc6-dev libelf-dev libssl-dev make pahole perl python3 xz-utils \
		clang lld llvm || exit 1
	build=$(readlink -f "$dir/build")
	with_clang=$dir/usr/src/clang/${build##*/}
	with_lock "headers-$1" rebuild_headers "$build" "$source" "$with_clang" LLVM=1 || exit 1
	printf '%s\n' "$with_clang"
)

# rebuild_headers HEADERS SOURCE DIRECTORY [LLVM=1]
rebuild_headers() (
	# What was given to a make around this is not for the kernel's.
	unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL ARCH CROSS_COMPILE KBUILD_OUTPUT KCFLAGS
	key=$(echo "$2" && gcc --version && { [ -z "${4-}" ] || clang --version; })
	[ "$(cat "$3/of" 2>/dev/null)" != "$key" ] || exit 0
	release=$(cat "$1/include/config/kernel.release") || exit 1
	version=$(make -s -C "$2" kernelversion) || exit 1
	log=$3.log
	say "building the tools to compile modules for Linux $release with"
	rm -rf "$3"
	mkdir -p "$3"
	cp "$1/.config" "$1/Module.symvers" "$3/" || exit 1
	for target in olddefconfig modules_prepare; do
		make -C "$2" O="$3" LOCALVERSION="${release#"$version"}" \
			-j"$(nproc)" ${4:+"$4"} $target \
			>>"$log" 2>&1 </dev/null ||
			die "could not build the tools to compile modules for Linux $release with" "$log"
	done
	[ "$(cat "$3/include/config/kernel.release")" = "$release" ] ||
		die "the source of Linux $release calls itself $(cat "$3/include/config/kernel.release")" "$log"
	printf '%s\n' "$key" >"$3/of"
)

# build_modules SERIES DIRECTORY - build the modules for Debian's kernel of that
# series outside of the source directory, put them into the given one
build_modules() (
	kdir=$(kernel_headers "$1") || exit 1
	source=$(project_dir) || exit 1
	dir=$(cache_dir)/modules/$(printf '%s' "$source" | cksum | cut -d ' ' -f 1)/${kdir##*/linux-headers-} || exit 1
	mkdir -p "$dir" || die "cannot create $dir"
	# What was given to a make around this is not for the kernel's.
	unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL
	with_lock modules build_and_copy_modules "$kdir" "$source" "$dir" "$2"
)

build_and_copy_modules() (
	build_modules_locked "$1" "$2" "$3" || exit 1
	# Names with or without a directory, .o or .ko, as the kernel has it.
	while read -r module; do
		module=${module##*/}
		cp "$3/${module%.*}.ko" "$4/" || exit 1
	done <"$3/modules.order"
)

# build_benchmarks KDIR DIRECTORY - the same with the benchmarks, which are only built for
# those who ask for them
build_benchmarks() {
	mkdir -p "$2"
	with_lock modules-bench build_and_copy_benchmarks "$1" "$2" || exit 1
}

build_and_copy_benchmarks() (
	source=$(project_dir) || exit 1
	dir=$(cache_dir)/modules/bench-$(printf '%s' "$1 $source" | cksum | cut -d ' ' -f 1) || exit 1
	mkdir -p "$dir" || die "cannot create $dir"
	MAKEFLAGS=CONFIG_DM_IO_BENCH=m build_modules_locked "$1" "$source" "$dir" || exit 1
	for module in dm-io dm-io-bench dm-replica dm-replica-bench; do
		cp "$dir/$module.ko" "$2/" || exit 1
	done
)

# headers_release DIRECTORY - print what the kernel of these headers calls itself; that of
# Debian's 6.1 has another name while it is built
headers_release() {
	sed -n 's/^#define UTS_RELEASE "\(.*\)"$/\1/p' "$1/include/generated/utsrelease.h"
}

# build_modules_locked KDIR SOURCE DIRECTORY - build them in the directory, which
# nobody else may do at the same time
build_modules_locked() (
	log=$3/build.log
	# Links, so that the source directory stays as it is and make sees
	# what has changed.
	find "$3" -maxdepth 1 -type l -exec rm {} +
	find "$2" -maxdepth 1 \( -name '*.[ch]' ! -name '*.mod.c' -o -name Kbuild \) \
		-exec ln -s {} "$3" \;
	make -C "$1" M="$3" -j"$(nproc)" modules >"$log" 2>&1 ||
		die "the modules do not build: $(grep -m 1 -E 'error|Error|\*\*\*' "$log")" "$log"
)

# um_option TREE - print an option for kunit.py with --arch=um. What it configures by
# itself has a driver of some kernels warn that nobody has given it a number
um_option() {
	if grep -q '^CONFIG_UML_PCI_OVER_VIRTIO=y' "$1/tools/testing/kunit/configs/arch_uml.config"; then
		echo --kconfig_add=CONFIG_UML_PCI_OVER_VIRTIO_DEVICE_ID=1234
	fi
}

#
# Kernels that have this project in their tree, built by the kernel's own kunit.py.
# The script that uses this sets
#
#	source_dir	the directory of the sources
#	work		a temporary directory; programs in its bin come first
#	arch		architecture as kunit.py knows it
#	cross_prefix	what names of the compiler's programs begin with, or nothing
#	configs		fragments in scripts/kunit to be added to .kunitconfig
#	tree		the directory that prepare_tree has printed
#

# Kernel parameters with which the tests find their disks.
test_parameters="null_blk.memory_backed=1 null_blk.discard=1 scsi_debug.dev_size_mb=16"
test_parameters="$test_parameters scsi_debug.delay=0 scsi_debug.lbpu=1 scsi_debug.lbpws=1"
# Ignored where the driver does not have it yet.
test_parameters="$test_parameters scsi_debug.atomic_wr=1"

# prepare_tree SOURCE STORE - print the directory of a kernel tree that has this
# project in it; its files are links to the pristine ones
prepare_tree() (
	kernel_tree=$2/linux
	if [ "$(cat "$2/of" 2>/dev/null)" != "$1" ]; then
		say "making a kernel tree with this project in it"
		rm -rf "$2"
		mkdir -p "$2"
		cp -al "$1" "$kernel_tree" || die "could not link the files of $1 to $kernel_tree"
		for file in Kconfig Makefile; do
			cp "$kernel_tree/drivers/$file" "$2/$file"
			rm "$kernel_tree/drivers/$file"
		done
		# The last line of Kconfig ends the menu.
		sed '$i source "drivers/dm-io/Kconfig"\n' "$2/Kconfig" >"$kernel_tree/drivers/Kconfig"
		echo 'obj-y += dm-io/' | cat "$2/Makefile" - >"$kernel_tree/drivers/Makefile"
		mkdir "$kernel_tree/drivers/dm-io"
		printf '%s\n' "$1" >"$2/of"
	fi
	copy_sources "$kernel_tree/drivers/dm-io" || exit 1
	printf '%s\n' "$kernel_tree"
)

# copy_sources DIRECTORY - let it have the same files as the source directory, with
# a new date only where something is new, whichever clone it came from last time
copy_sources() {
	for file in "$source_dir"/*.[ch] "$source_dir/Kbuild" "$source_dir/Kconfig" \
		"$source_dir/.kunitconfig"; do
		if ! cmp -s "$file" "$1/${file##*/}"; then
			cp "$file" "$1/" || return 1
		fi
	done
	for file in "$1"/*; do
		[ -e "$source_dir/${file##*/}" ] || rm "$file"
	done
}

# kunit COMMAND OUTPUT ARGUMENT... - run the kernel's own tool
kunit() {
	kunit_command=$1
	kunit_output=$2
	shift 2
	set -- "$@" --arch="$arch" --build_dir="$kunit_output" \
		--kunitconfig="$tree/drivers/dm-io"
	for config in $configs; do
		set -- "$@" --kunitconfig="$source_dir/scripts/kunit/$config"
	done
	if [ -n "$cross_prefix" ]; then
		set -- "$@" --cross_compile="$cross_prefix"
	fi
	if [ "$arch" = um ]; then
		# shellcheck disable=SC2046 # a word or none
		set -- "$@" $(um_option "$tree")
	fi
	PATH=$work/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
		python3 -u "$tree/tools/testing/kunit/kunit.py" "$kunit_command" "$@"
}

# configuration - print what everything has to be compiled again for when it changes
configuration() {
	cat "$tree/../of" "$tree/drivers/dm-io/.kunitconfig" "$tree/drivers/dm-io/Kconfig"
	for config in $configs; do
		cat "$source_dir/scripts/kunit/$config"
	done
	"${cross_prefix}gcc" --version
}

# How many files there are to compile, roughly, before it is known.
objects_guessed=950

count_objects() {
	find "$1" -name '*.o' 2>/dev/null | wc -l
}

# show_progress OUTPUT - say every now and then how far a build is, until killed
show_progress() {
	# Who waits for the end of our output, or for the lock, does not wait for sleep.
	while sleep 10 >/dev/null 2>&1 3>&- 9>&-; do
		progress_done=$(count_objects "$1")
		progress_all=$(cat "$1.objects" 2>/dev/null) || progress_all=$objects_guessed
		say "    $progress_done of about $progress_all files"
	done
}

# build NAME OUTPUT ARGUMENT... - configure and build a kernel. Nothing at all is
# done when neither the tree nor the configuration is another than last time
build() {
	build_log=$2.log
	build_name=$1
	build_output=$2
	shift 2
	build_key=$(
		{
			configuration
			echo "$@"
			cd "$tree/drivers/dm-io" || exit 1
			sha256sum ./*
		} | sha256sum
	)
	if [ "$(cat "$build_output.key" 2>/dev/null)" = "$build_key" ]; then
		return 0
	fi
	say "building $build_name$([ -e "$build_output/vmlinux" ] || echo ', for the first time: some minutes')"
	rm -f "$build_output.key"
	show_progress "$build_output" &
	build_progress=$!
	build_status=0
	kunit build "$build_output" --jobs="$(nproc)" "$@" >"$build_log" 2>&1 || build_status=$?
	kill "$build_progress"
	if [ $build_status != 0 ]; then
		grep -E -e '(error|warning):|undefined|\*\*\*|^ERROR' "$build_log" | head -n 20 >&2
		die "$build_name does not build" "$build_log"
	fi
	if grep -A 5 -E 'drivers/dm-io/.*warning:|^WARNING: modpost' "$build_log" >&2; then
		die "$build_name does not build without a warning" "$build_log"
	fi
	printf '%s\n' "$build_key" >"$build_output.key"
	count_objects "$build_output" >"$build_output.objects"
}
