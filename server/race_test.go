//go:build race

package main

// memoryFactor is how many times the memory the race detector takes.
const memoryFactor = 10
