package accounts

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// last is the header of the newest event.
func (s *site) last() eventlog.Header {
	s.Helper()
	page, err := s.log.Read(s.Context(), eventlog.Query{Reverse: true, Limit: 1})
	require.NoError(s, err)
	return page.Entries[0].Header
}

// TestAttribution: an event that names no account belongs to the one that its number is
// known to belong to when it comes, by configuration or by what the source has told; it
// stays as it was decided then.
func TestAttribution(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	s := newSiteOn(t, disk)
	expect := func(body, waba string, how eventlog.WABASource) {
		t.Helper()
		s.post(body)
		require.Equal(t, waba, s.last().WABAID)
		require.Equal(t, how, s.last().WABASource)
	}
	expect(preference("15550001", "p", testTime, "stop"), "", eventlog.WABAUnknown)
	s.post(messages("1", "+1 (555) 0001", 1))
	expect(preference("1555-0001", "p", testTime+1, "resume"), "1", eventlog.WABALearned)
	expect(preference("15559999", "p", testTime+1, "stop"), "configured", eventlog.WABAConfigured)
	s.post(messages("1", "15559999", 2))
	expect(preference("15559999", "p", testTime+2, "stop"), "configured", eventlog.WABAConfigured)
	s.post(messages("2", "15550001", 3))
	expect(preference("15550001", "p", testTime+3, "stop"), "2", eventlog.WABALearned)

	s.postTo("b", preference("15550001", "p", testTime+4, "stop"))
	require.Empty(t, s.last().WABAID, "one source teaches another nothing")

	byID := `{"field":"user_preferences","value":{"metadata":{"phone_number_id":"id-15550001"},"user_preferences":[{"wa_id":"p","category":"marketing_messages","value":"stop","timestamp":1761000000}]}}`
	expect(byID, "2", eventlog.WABALearned)

	require.NoError(t, s.log.Trim(t.Context(), s.settle().Sequence))
	require.NoError(t, s.log.Close())
	s = newSiteOn(t, disk)
	expect(preference("15550001", "p", testTime+5, "stop"), "2", eventlog.WABALearned)
}

// brokenState has failed.
type brokenState struct{ eventlog.State }

func (brokenState) Get([]byte) ([]byte, error) { return nil, errors.New("broken") }

// TestAttributionOfAFailedLog: nobody is guessed.
func TestAttributionOfAFailedLog(t *testing.T) {
	t.Parallel()
	a, err := NewAttribution(brokenState{}, nil)
	require.NoError(t, err)
	require.Empty(t, a.WABA("a", "1", "2"))
	require.Empty(t, a.WABA("a", "", ""))
}
