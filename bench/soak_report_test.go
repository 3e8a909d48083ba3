package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// steady is a soak in which nothing changes but what must.
func steady() *soakReport {
	s := &soakReport{Bound: 1 << 30, Greatest: 2000, Rate: 1000, Accepted: 90_000, Fewest: 90_000}
	for i := range 18 {
		s.Readings = append(s.Readings, reading{
			Seconds: float64(5 * i), Resident: 200, Heap: 50, Goroutines: 100, Files: 80, Disk: 1200, LogBytes: 1000,
			Held: 1e6, Trimmed: float64(1000 * i), Posted: 1000, P50: 1, P99: 5,
		})
	}
	return s
}

func missed(s *soakReport) []string {
	var names []string
	for _, v := range s.verdicts() {
		if !v.Met {
			name, _, _ := strings.Cut(v.Criterion, ":")
			names = append(names, name)
		}
	}
	return names
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	require.Empty(t, missed(steady()))
	for name, c := range map[string]struct {
		change func(*soakReport)
		want   string
	}{
		"memory grows":              {func(s *soakReport) { eachLast(s, func(r *reading) { r.Resident *= 1.2 }) }, "memory flat"},
		"goroutines leak":           {func(s *soakReport) { eachLast(s, func(r *reading) { r.Goroutines += 50 }) }, "goroutines flat"},
		"disk grows once":           {func(s *soakReport) { s.Readings[3].Disk = 1600 }, "disk bounded"},
		"trimmed at first only":     {func(s *soakReport) { eachLast(s, func(r *reading) { r.Trimmed = 12_000 }) }, "retention trimmed in the middle and in the last third"},
		"an answer that is not 200": {func(s *soakReport) { s.NotOK = 1 }, "every callback answered 200"},
		"an answer that never came": {func(s *soakReport) { s.Lost = 1 }, "every callback answered 200"},
		"the rate is not kept":      {func(s *soakReport) { s.Rate *= 1.1 }, "rate kept"},
		"an event is missing":       {func(s *soakReport) { s.Fewest-- }, "every event received by every subscriber, without a gap"},
		"a gap":                     {func(s *soakReport) { s.Gaps = 1 }, "every event received by every subscriber, without a gap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := steady()
			c.change(s)
			require.Equal(t, []string{c.want}, missed(s))
		})
	}
}

func eachLast(s *soakReport, change func(*reading)) {
	last := third(s.Readings, 2)
	for i := range last {
		change(&last[i])
	}
}

// What was not measured is not met.
func TestVerdictsWithoutReadings(t *testing.T) {
	t.Parallel()
	s := &soakReport{}
	require.Len(t, missed(s), 5, "all but answers and events, of which there were none")
	_, err := json.Marshal(s)
	require.NoError(t, err)
	require.NoError(t, s.write(&strings.Builder{}))
}

func TestSoakText(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	s := steady()
	s.NotOK = 3
	require.NoError(t, s.write(&text))
	require.Contains(t, text.String(), "soak: 1000 callbacks/s, of 2000 that the server takes, retention at 1024 MiB, 18 readings")
	require.Regexp(t, `memory in RAM +MiB +200 +200 +200 +0 +200 +█+`, text.String())
	require.Regexp(t, `events trimmed so far +2500 +8500 +14500 +12000 +17000 `, text.String())
	require.Contains(t, text.String(), "yes  memory flat: last third ÷ middle third, at most 1.10: 1.00\n")
	require.Contains(t, text.String(), "no   every callback answered 200: 3.00 answered otherwise, 0 not\n")
}

func TestSoakJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(steady())
	require.NoError(t, err)
	var got struct {
		Title    string    `json:"title"`
		Readings []reading `json:"readings"`
		Verdicts []verdict `json:"verdicts"`
	}
	require.NoError(t, json.Unmarshal(b, &got))
	require.Equal(t, "soak", got.Title)
	require.Equal(t, steady().Readings, got.Readings)
	require.Equal(t, steady().verdicts(), got.Verdicts)
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	require.Equal(t, "▁▂▃▄▅▆▇█", sparkline([]float64{0, 1, 2, 3, 4, 5, 6, 7}, 30))
	require.Equal(t, "▄█", sparkline([]float64{2, 4, 7, 7}, 2), "values that share a character are averaged")
	require.Equal(t, "▁▁", sparkline([]float64{0, 0}, 30))
	require.Empty(t, sparkline(nil, 30))
}
