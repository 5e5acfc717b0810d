package main

// part is a measurement that can be run alone.
type part struct {
	name    string
	measure func(*bench) (*table, error)
	once    bool // On one release, with -all.
	near    bool // It reads counters, log or packets of a broker that scripts/broker runs.
}

var parts = []part{
	{"start", (*bench).uncontended, false, false},
	{"handover", (*bench).handOver, false, false},
	{"steps", (*bench).steps, false, true},
	{"crash", (*bench).crash, false, false},
	{"slots", (*bench).slots, true, false},
	{"history", (*bench).history, false, false},
	{"listed", (*bench).listed, true, false},
	{"burst", (*bench).burst, false, true},
	{"line", (*bench).line, false, true},
	{"growth", (*bench).growth, false, false},
	{"idle", (*bench).idle, true, true},
	{"many", (*bench).many, true, true},
}
