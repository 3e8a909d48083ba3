package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h":                        now.Add(-2 * time.Hour),
		"1h30m":                     now.Add(-90 * time.Minute),
		"0s":                        now,
		"7d":                        time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC),
		"0d":                        now,
		"today":                     time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC),
		"yesterday":                 time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC),
		"2026-01-31T09:00:00Z":      time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC),
		"2026-01-31T09:00:00+02:00": time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC),
	} {
		got, err := parseTime("since", text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: got %v, want %v", text, got, want)
	}
	for _, text := range []string{"", "2", "-2h", "-7d", "1.5d", "d", "99999999d", "2026-01-31", "tomorrow"} {
		_, err := parseTime("since", text, now)
		require.ErrorAs(t, err, new(usageError), text)
		require.ErrorContains(t, err, text)
	}
}
