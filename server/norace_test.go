//go:build !race

package main

// raceDetector says that the tests, and the servers they start, run under it;
// memoryFactor is how many times the memory they then take.
const (
	raceDetector = false
	memoryFactor = 1
)
