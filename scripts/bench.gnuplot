# SPDX-License-Identifier: GPL-2.0-only
#
# Plots cost against size, for writes from one kind of buffer. To be called by
# scripts/bench, which sets csv, buffer, unit and output.

column = unit eq "instructions" ? 8 : 9
title = buffer eq "list" ? "a page list" : \
	buffer eq "bvec" ? "an array of bio\\_vecs" : "vmalloc memory"

# Size, cost and cost as a multiple of the floor of one engine.
rows(engine, buffer, regions) = sprintf( \
	"< awk -F, '$3 == \"write\" && $4 == \"async\" && $6 == %d {" . \
	" if ($1 == \"floor\") floor[$5] = $%d;" . \
	" if ($1 == \"%s\" && $2 == \"%s\") print $5, $%d, $%d / floor[$5] }' '%s'", \
	regions, column, engine, buffer, column, column, csv)

set terminal svg size 900,720 dynamic font "sans-serif,13" background "white"
set output output

set style line 1 lc rgb "#777777" lw 2 dt 2
set style line 2 lc rgb "#e69f00" lw 2 pt 5 ps 0.5
set style line 3 lc rgb "#cc3311" lw 2 pt 9 ps 0.6
set style line 4 lc rgb "#0077bb" lw 2.5 pt 7 ps 0.5

set grid lc rgb "#dddddd"
set border 3
set tics nomirror
set logscale x 2
set xrange [512:4194304]
set xtics ("512 B" 512, "4 KiB" 4096, "64 KiB" 65536, "1 MiB" 1048576)
set key top left reverse Left samplen 2

set multiplot layout 2,2 title "Asynchronous writes from ".title."\n"
set bmargin 3
set lmargin 7

do for [regions in "1 4"] {
	set title regions." region".(regions eq "1" ? "" : "s").": ".unit." a request"
	set logscale y 10
	set format y "10^{%L}"
	set yrange [*:*]
	plot rows("kernel", buffer, int(regions)) using 1:2 with linespoints ls 3 title "kernel's dm\\_io", \
		rows("hand", buffer, int(regions)) using 1:2 with linespoints ls 2 title "by hand", \
		rows("dm-io", buffer, int(regions)) using 1:2 with linespoints ls 4 title "dm-io", \
		rows("floor", "bvec", int(regions)) using 1:2 with lines ls 1 title "floor"
}
do for [regions in "1 4"] {
	set title regions." region".(regions eq "1" ? "" : "s").": multiple of the floor"
	unset logscale y
	set format y "%g"
	set yrange [0:*]
	plot rows("kernel", buffer, int(regions)) using 1:3 with linespoints ls 3 notitle, \
		rows("hand", buffer, int(regions)) using 1:3 with linespoints ls 2 notitle, \
		rows("dm-io", buffer, int(regions)) using 1:3 with linespoints ls 4 notitle, \
		rows("floor", "bvec", int(regions)) using 1:3 with lines ls 1 notitle
}
unset multiplot
