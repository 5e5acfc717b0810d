# Draws docs/internals/benchmarks.svg from what bench leaves in the directory dir: for each of the
# releases a median, and the 10th and the 90th percentile.
set terminal svg size 1000,700 font "sans-serif,12" background rgb "white"
set datafile missing "?"
set multiplot layout 2,2
set style data histograms
set style histogram errorbars gap 1 lw 1
set style fill solid 0.6
set grid ytics
set key top left
set xtics rotate by -15 font ",10"
set ylabel "ms"
set yrange [0:*]
n = words(releases)

set title "true under a free lock (median, 10th to 90th percentile)"
set logscale y
set yrange [1:*]
plot for [i=1:n] dir."/start.dat" using 3*i-1:3*i:3*i+1:xtic(1) title word(releases, i)

set title "end of a command to start of the next, 20 waiters"
unset key
unset logscale y
set yrange [0:*]
plot for [i=1:n] dir."/handover.dat" using 3*i-1:3*i:3*i+1:xtic(1) title word(releases, i)

set title "where the time of a hand-over goes"
set xlabel "ms"
unset ylabel
set xtics norotate
set yrange [*:*] reverse
set offsets 0, 0, 0.6, 0.6
plot for [i=1:n] dir."/steps.dat" using 2*i:($0+(i-(n+1)/2.0)*0.8/n):2*i:2*i+1: \
  ($0+(i-n/2.0-1)*0.8/n):($0+(i-n/2.0)*0.8/n) with boxxyerror, \
  "" using (0):0:ytic(1) with dots notitle

set title "kill -9 of the holder: death to next start"
unset xlabel
set ylabel "ms"
set offsets
set xtics rotate by -15
set logscale y
set yrange [0.1:*] noreverse
plot for [i=1:n] dir."/crash.dat" using 3*i-1:3*i:3*i+1:xtic(1) title word(releases, i)
unset multiplot
