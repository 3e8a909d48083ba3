package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A log that is below its bound once a server opens it is not trimmed for minutes.
func TestLogIsFilledToItsBound(t *testing.T) {
	t.Parallel()
	const bound = 4 << 20
	b := &bench{
		settings: settings{soakSettings: soakSettings{retentionBytes: bound, horizon: time.Minute}},
		load:     newWorkload(accounts),
		progress: &strings.Builder{},
	}
	dir := t.TempDir()
	require.NoError(t, b.fillToBound(t.Context(), dir))
	log, err := openLog(t.Context(), dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	stats, err := log.Stats(t.Context())
	require.NoError(t, err)
	kept := stats.Bytes - min(stats.Bytes, stats.Reclaimable)
	require.GreaterOrEqual(t, kept, uint64(bound))
	require.Less(t, kept, uint64(bound+bound/4))
	found, err := readableLog{log}.newest(t.Context(), account(accountOf(0, accounts)))
	require.NoError(t, err)
	require.NotZero(t, found, "the records are the workload's")
}
