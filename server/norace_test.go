//go:build !race

package main

// memoryFactor is how many times the memory the race detector takes, without one.
const memoryFactor = 1
