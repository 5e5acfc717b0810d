//go:build race

package wrapper

// raceDetector: its own memory is many times the program's.
const raceDetector = true
