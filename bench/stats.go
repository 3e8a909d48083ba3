package main

import (
	"math"
	"slices"
)

// median returns the middle of the values, the mean of the two middle ones if
// their number is even, and NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medianRatio divides two series round by round and returns the median of the
// quotients: what made a whole round slow is in both and cancels out. The series
// must have the same length; otherwise, or without rounds, it returns NaN.
func medianRatio(over, under []float64) float64 {
	if len(over) != len(under) {
		return math.NaN()
	}
	ratios := make([]float64, len(over))
	for i := range over {
		ratios[i] = over[i] / under[i]
	}
	return median(ratios)
}
