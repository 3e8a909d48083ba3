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

func TestPercentile(t *testing.T) {
	t.Parallel()
	values := []float64{5, 1, 4, 2, 3}
	for percent, want := range map[float64]float64{0: 1, 20: 1, 21: 2, 50: 3, 99: 5, 100: 5} {
		require.InDelta(t, want, percentile(values, percent), 1e-9, "%v", percent)
	}
	require.Equal(t, []float64{5, 1, 4, 2, 3}, values, "the argument is left alone")
	require.True(t, math.IsNaN(percentile(nil, 50)))
}

func TestSlope(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 2, slope([]float64{1, 2, 3}, []float64{5, 7, 9}), 1e-9)
	require.InDelta(t, -0.5, slope([]float64{0, 10, 20, 30}, []float64{16, 9, 6, -1}), 0.05)
	require.InDelta(t, 0, slope([]float64{1, 2, 3}, []float64{4, 4, 4}), 1e-9)
	require.True(t, math.IsNaN(slope([]float64{1, 1}, []float64{1, 2})))
	require.True(t, math.IsNaN(slope([]float64{1}, []float64{1, 2})))
	require.True(t, math.IsNaN(slope(nil, nil)))
}

func TestThirdsLeaveNothingOut(t *testing.T) {
	t.Parallel()
	values := []int{1, 2, 3, 4, 5, 6, 7, 8}
	require.Equal(t, []int{1, 2}, third(values, 0))
	require.Equal(t, []int{3, 4}, third(values, 1))
	require.Equal(t, []int{5, 6, 7, 8}, third(values, 2))
	require.Empty(t, third([]int{1, 2}, 1))
}
