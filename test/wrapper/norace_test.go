//go:build !race

package wrapper

const raceDetector = false
