package accounts

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLateEventsAreCountedOnce: what is late for values and for people's choices, each
// event once, and not again when the state is made again.
func TestLateEventsAreCountedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.post(name("1", "15550001", testTime, "APPROVED", "x"))
	s.post(ban("1", testTime, "DISABLE"))
	s.post(preference("15550001", "person", testTime, "stop"))
	require.Zero(t, s.stale())
	s.post(name("1", "15550001", testTime-1, "APPROVED", "y")) // of two values
	s.post(ban("1", testTime-1, "REINSTATE"))
	s.post(ban("1", testTime-1, "REINSTATE")) // a duplicate
	s.post(preference("15550001", "person", testTime-1, "resume"))
	require.InDelta(t, 3, s.stale(), 0)
	s.rebuild()
	s.post(ban("1", testTime+1, "REINSTATE"))
	require.InDelta(t, 3, s.stale(), 0)
}

// stale is what the metric says.
func (s *site) stale() float64 {
	s.Helper()
	families, err := s.metrics.Gather()
	require.NoError(s, err)
	require.Len(s, families, 1)
	require.Equal(s, "wabastream_account_events_stale_total", families[0].GetName())
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
