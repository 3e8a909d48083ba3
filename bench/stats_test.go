package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{1, 1, 1000}, 1},
	} {
		require.InDelta(t, c.want, median(c.values), 1e-9, "%v", c.values)
	}
	require.True(t, math.IsNaN(median(nil)))
}

func TestMedianLeavesItsArgumentAlone(t *testing.T) {
	t.Parallel()
	values := []float64{3, 1, 2}
	median(values)
	require.Equal(t, []float64{3, 1, 2}, values)
}

// A round that was slow for everybody must not move the ratio.
func TestMedianRatioIsTakenWithinRounds(t *testing.T) {
	t.Parallel()
	ours, theirs := []float64{200, 20, 2}, []float64{100, 10, 1}
	require.InDelta(t, 2, medianRatio(ours, theirs), 1e-9)
	require.InDelta(t, 3, medianRatio([]float64{3, 2, 8}, []float64{1, 1, 2}), 1e-9)
}

func TestMedianRatioNeedsPairs(t *testing.T) {
	t.Parallel()
	require.True(t, math.IsNaN(medianRatio([]float64{1, 2}, []float64{1})))
	require.True(t, math.IsNaN(medianRatio(nil, nil)))
}
