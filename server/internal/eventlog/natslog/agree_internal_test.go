package natslog

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestReplicasThatDisagreeAreNoticed(t *testing.T) {
	t.Parallel()
	const width = 4
	here, there := newFold(eventlog.LogID{1}, width, place{}), newFold(eventlog.LogID{1}, width, place{})
	var told bytes.Buffer
	l := &Log{logger: slog.New(slog.NewTextHandler(&told, nil)), witness: newWitness(width, place{})}
	take := func(e *entry) {
		l.compare(received{message: here.at.message + 1, entry: e})
		here.take(here.at.message+1, e)
		l.witness.stand(here.at)
	}
	for m := range 2 * width {
		e := appendOf(there.at, int64(m), recordOf(m))
		there.take(there.at.message+1, e)
		take(e)
	}
	require.Zero(t, l.Disagreements())

	behind := here.at
	take(appendOf(behind, 100, recordOf(100)))
	other := behind
	other.fingerprint++
	take(appendOf(other, 101, recordOf(101)))
	take(appendOf(other, 102, recordOf(102)))
	require.EqualValues(t, 2, l.Disagreements())
	require.Equal(t, 1, bytes.Count(told.Bytes(), []byte("replicas disagree")))
	require.Contains(t, told.String(), "up_to_message=8")

	for range width {
		take(appendOf(here.at, 103, recordOf(103)))
	}
	take(appendOf(other, 104, recordOf(104))) // too long ago to tell
	take(appendOf(place{}, 105, recordOf(105)))
	require.EqualValues(t, 2, l.Disagreements())
}
