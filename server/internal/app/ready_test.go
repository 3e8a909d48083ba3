package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// silentLog is a log of which is known what it says of itself.
type silentLog struct{ err error }

func (l *silentLog) Reachable() error    { return l.err }
func (*silentLog) Disagreements() uint64 { return 0 }

func TestReadinessFollowsTheLog(t *testing.T) {
	t.Parallel()
	var told []bool
	var lines strings.Builder
	logger := slog.New(slog.NewTextHandler(&lines, nil))
	r := readiness{onChange: func(ready bool) { told = append(told, ready) }}
	log := &silentLog{err: errors.New("stream EVENTS of NATS has not answered for 11s")}

	r.look(log, logger)
	require.ErrorIs(t, r.err(), errNotServing)
	r.serve(true)
	require.Equal(t, log.err, r.err())
	require.Empty(t, told, "it was not ready and is not")
	for range 3 {
		r.look(log, logger)
	}
	require.Equal(t, 1, strings.Count(lines.String(), "not ready until the log answers"))

	log.err = nil
	r.look(log, logger)
	require.NoError(t, r.err())
	require.Contains(t, lines.String(), "the log answers again")
	r.serve(false)
	require.ErrorIs(t, r.err(), errNotServing)
	require.Equal(t, []bool{true, false}, told)
}
