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

// percentile returns the smallest value that at least so many percent of the
// values do not exceed, and NaN of none.
func percentile(values []float64, percent float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
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

// slope is how much y rises for each x, by least squares. The series must have
// the same length; otherwise, or where all x are the same, it returns NaN.
func slope(x, y []float64) float64 {
	if len(x) != len(y) {
		return math.NaN()
	}
	meanX, meanY := mean(x), mean(y)
	var over, under float64
	for i := range x {
		over += (x[i] - meanX) * (y[i] - meanY)
		under += (x[i] - meanX) * (x[i] - meanX)
	}
	return over / under
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// third returns the first (0), middle (1) or last (2) third of a series. A
// remainder belongs to the last.
func third[T any](values []T, which int) []T {
	n := len(values) / 3
	if which == 2 {
		return values[2*n:]
	}
	return values[which*n : (which+1)*n]
}
