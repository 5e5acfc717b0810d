# Draws docs/internals/benchmarks.svg from what the parts of the bench leave in the directory dir.
set terminal svg size 900,640 font "sans-serif,12" background rgb "white"
set multiplot layout 2,2
set style fill solid 0.6
set boxwidth 0.6
set grid ytics
unset key
set xtics rotate by -15 font ",10"
set offsets 0.5, 0.5, 0, 0
set ylabel "ms"
set yrange [0:*]

set title "true under a free lock (median, 10th to 90th percentile)"
plot dir."/start.dat" using 0:2:xtic(1) with boxes, "" using 0:2:3:4 with yerrorbars lc black

set title "end of a command to start of the next, 20 waiters"
plot dir."/handover.dat" using 0:2:xtic(1) with boxes, "" using 0:2:3:4 with yerrorbars lc black

set title "kill -9 of the holder: death to next start"
set logscale y
set yrange [0.1:*]
plot dir."/crash.dat" using 0:2:xtic(1) with boxes, "" using 0:2:3:4 with yerrorbars lc black

set title "broker methods for each hand-over, by waiters"
unset logscale y
set logscale x
set xtics norotate
set yrange [0:*]
set offsets
set ylabel "methods"
plot dir."/line.dat" using 1:2 with linespoints pt 7
unset multiplot
