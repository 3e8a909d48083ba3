package cluster

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
	"golang.org/x/sync/errgroup"
)

func record(n int) eventlog.Record {
	var id eventlog.ID
	binary.BigEndian.PutUint64(id[2:], uint64(n)*0x9e3779b97f4a7c15)
	return eventlog.Record{
		Header:  eventlog.Header{ID: id, Source: "nxcloud", WABAID: "1001", WABASource: eventlog.WABAPayload, Type: "account_update", Severity: eventlog.SeverityInfo},
		Payload: fmt.Appendf(nil, "payload %d", n), Horizon: time.Hour,
	}
}

// entriesOf reads what a replica holds, up to the head of the stream.
func entriesOf(t *testing.T, log *natslog.Log) []eventlog.Entry {
	t.Helper()
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	var all []eventlog.Entry
	for q := (eventlog.Query{After: bounds.Start.Sequence, Until: bounds.Head.Sequence}); q.After < q.Until; {
		page, err := log.Read(t.Context(), q)
		require.NoError(t, err)
		all = append(all, page.Entries...)
		q.After = page.Scanned.Sequence
	}
	return all
}

func openAll(t *testing.T, options ...natslog.Options) []*natslog.Log {
	t.Helper()
	var all []*natslog.Log
	for _, o := range options {
		log := replica{o}.open(t, time.Now)
		t.Cleanup(func() { require.NoError(t, log.Close()) })
		all = append(all, log)
	}
	return all
}

func oneServer(t *testing.T) string {
	t.Helper()
	return startServer(t, serverOptions(t.TempDir())).ClientURL()
}

// The same callbacks come to two replicas at once, as from a provider that posts again
// while the first is on its way: each makes one event, and both answers name it.
func TestDuplicatesOnTwoReplicasAtOnce(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	logs := openAll(t, on("S", 1, t.TempDir(), url), on("S", 1, t.TempDir(), url))
	const callbacks = 300
	answers := make([][]eventlog.Appended, 2*callbacks)
	var group errgroup.Group
	for n := range callbacks {
		for i, log := range logs {
			group.Go(func() (err error) {
				answers[2*n+i], err = log.Append(t.Context(), []eventlog.Record{record(2 * n), record(2*n + 1)})
				return err
			})
		}
	}
	require.NoError(t, group.Wait())
	first, second := entriesOf(t, logs[0]), entriesOf(t, logs[1])
	require.Len(t, first, 2*callbacks)
	require.Equal(t, first, second)
	for n := range callbacks {
		a, b := answers[2*n], answers[2*n+1]
		for i := range a {
			require.Equal(t, a[i].Position, b[i].Position)
			require.NotEqual(t, a[i].Duplicate, b[i].Duplicate)
		}
	}
}

// A position of one replica is good on another, also where that one is still behind.
func TestPositionsAreGoodOnEveryReplica(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	logs := openAll(t, on("S", 1, t.TempDir(), url), on("S", 1, t.TempDir(), url))
	for n := range 100 {
		here, there := logs[n%2], logs[(n+1)%2]
		at, err := here.Append(t.Context(), []eventlog.Record{record(n)})
		require.NoError(t, err)
		switch n % 3 {
		case 0:
			require.NoError(t, there.Check(t.Context(), at[0].Position))
		case 1:
			bounds, err := there.Bounds(t.Context())
			require.NoError(t, err)
			require.Equal(t, at[0].Position, bounds.Head)
		default:
			found, err := there.Lookup(t.Context(), record(n).ID)
			require.NoError(t, err)
			require.Equal(t, at[0].Position, found.Position)
		}
	}
	ahead := eventlog.Position{Log: entriesOf(t, logs[0])[0].Position.Log, Sequence: 1000, Fingerprint: 1}
	require.ErrorIs(t, logs[1].Check(t.Context(), ahead), eventlog.ErrAhead)
}

// Another stream is another log, and its folder no copy of this one.
func TestPositionsOfAnotherStreamAreRefused(t *testing.T) {
	t.Parallel()
	url, dir := oneServer(t), t.TempDir()
	log := replica{on("A", 1, dir, url)}.open(t, time.Now)
	at, err := log.Append(t.Context(), []eventlog.Record{record(1)})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	other := openAll(t, on("B", 1, dir, url))[0]
	_, err = other.Append(t.Context(), []eventlog.Record{record(1)})
	require.NoError(t, err)
	require.ErrorIs(t, other.Check(t.Context(), at[0].Position), eventlog.ErrOtherLog)
}

// A trim on one replica is one on all, and the stream gives back what nobody needs. A
// replica that begins then, and one that was away for so long that what it lacks is
// gone, hold the same as the others.
func TestStreamIsPurgedAndReplicasBeginAnew(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	options := func() natslog.Options {
		o := on("S", 1, t.TempDir(), url)
		o.Window, o.IDHorizon = 8, time.Nanosecond
		return o
	}
	away := options()
	sleeper := replica{away}.open(t, time.Now)
	_, err := sleeper.Append(t.Context(), []eventlog.Record{record(0)})
	require.NoError(t, err)
	require.NoError(t, sleeper.Close())

	logs := openAll(t, options(), options())
	for n := 1; n < 200; n++ {
		_, err := logs[n%2].Append(t.Context(), []eventlog.Record{record(n)})
		require.NoError(t, err)
	}
	require.NoError(t, logs[0].Trim(t.Context(), 150))
	require.NoError(t, logs[0].TrimType(t.Context(), "account_update", 160))
	first := firstMessage(t, url, "S")
	require.Greater(t, first, uint64(100), "the stream gave room back")

	logs = append(logs, openAll(t, options(), away)...)
	for i, log := range logs {
		bounds, err := log.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, eventlog.Sequence(200), bounds.Head.Sequence, "replica %d", i)
		require.Eventually(t, func() bool { // trims are done behind the reader
			bounds, err := log.Bounds(t.Context())
			return err == nil && bounds.Start.Sequence == 150 && len(bounds.TypeTrims) == 1
		}, 10*time.Second, 5*time.Millisecond)
		again, err := log.Append(t.Context(), []eventlog.Record{record(170)})
		require.NoError(t, err)
		require.True(t, again[0].Duplicate)
	}
	want, err := logs[0].Read(t.Context(), eventlog.Query{After: 160})
	require.NoError(t, err)
	for _, log := range logs[1:] {
		got, err := log.Read(t.Context(), eventlog.Query{After: 160})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func jetStreamOf(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

func streamOf(t *testing.T, url, name string) jetstream.Stream {
	t.Helper()
	stream, err := jetStreamOf(t, url).Stream(t.Context(), name)
	require.NoError(t, err)
	return stream
}

func firstMessage(t *testing.T, url, name string) uint64 {
	t.Helper()
	return streamOf(t, url, name).CachedInfo().State.FirstSeq
}

// What somebody else removed from the stream is not passed over in silence.
func TestHoleInTheStreamIsRefused(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	o := on("S", 1, t.TempDir(), url)
	log := replica{o}.open(t, time.Now)
	for n := range 20 {
		_, err := log.Append(t.Context(), []eventlog.Record{record(n)})
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	require.NoError(t, streamOf(t, url, "S").Purge(t.Context(), jetstream.WithPurgeSequence(10)))
	o.Dir = t.TempDir()
	_, err := natslog.Open(t.Context(), o)
	require.ErrorContains(t, err, "messages were removed that wabastream had not trimmed")
}

// A stream that has lost what a replica has taken in is refused.
func TestStreamThatWentBackIsRefused(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	o := on("S", 1, t.TempDir(), url)
	log := replica{o}.open(t, time.Now)
	for n := range 20 {
		_, err := log.Append(t.Context(), []eventlog.Record{record(n)})
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	js := jetStreamOf(t, url)
	config := streamOf(t, url, "S").CachedInfo().Config
	require.NoError(t, js.DeleteStream(t.Context(), "S"))
	_, err := js.CreateStream(t.Context(), config)
	require.NoError(t, err)
	_, err = natslog.Open(t.Context(), o)
	require.ErrorContains(t, err, "the stream has lost what it had acknowledged")
}

func TestStreamsThatMayLoseEventsAreRefused(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	js := jetStreamOf(t, url)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	require.NoError(t, err)
	_, err = natslog.Open(t.Context(), on("OTHER", 1, t.TempDir(), url))
	require.ErrorContains(t, err, "not made by wabastream")

	openAll(t, on("S", 1, t.TempDir(), url))
	config := streamOf(t, url, "S").CachedInfo().Config
	for want, change := range map[string]func(*jetstream.StreamConfig){
		"max_age":     func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour; c.Duplicates = 2 * time.Minute },
		"discard":     func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"duplicate_w": func(c *jetstream.StreamConfig) { c.Duplicates = time.Second },
	} {
		changed := config
		change(&changed)
		_, err = js.UpdateStream(t.Context(), changed)
		require.NoError(t, err)
		_, err = natslog.Open(t.Context(), on("S", 1, t.TempDir(), url))
		require.ErrorContains(t, err, want)
		_, err = js.UpdateStream(t.Context(), config)
		require.NoError(t, err)
	}
	_, err = natslog.Open(t.Context(), on("S", 3, t.TempDir(), url))
	require.ErrorContains(t, err, "it has 1 replicas and not 3")
}

// A full stream refuses, and says so; what is there already is answered.
func TestFullStreamRefuses(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	log := openAll(t, on("S", 1, t.TempDir(), url))[0]
	_, err := log.Append(t.Context(), []eventlog.Record{record(0)})
	require.NoError(t, err)
	stream := streamOf(t, url, "S")
	js := jetStreamOf(t, url)
	config := stream.CachedInfo().Config
	config.MaxBytes = 600
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	for n := 1; err == nil; n++ {
		_, err = log.Append(t.Context(), []eventlog.Record{record(n)})
	}
	require.ErrorIs(t, err, eventlog.ErrFull)
	again, err := log.Append(t.Context(), []eventlog.Record{record(0)})
	require.NoError(t, err)
	require.True(t, again[0].Duplicate)
}

// Without the servers nothing is answered that only they know, and everything else is.
func TestServersThatAreAwayAreToldOf(t *testing.T) {
	t.Parallel()
	s := startServer(t, serverOptions(t.TempDir()))
	o := on("S", 1, filepath.Join(t.TempDir(), "data"), s.ClientURL())
	o.SyncWait, o.StartWait = 300*time.Millisecond, time.Second
	log := openAll(t, o)[0]
	at, err := log.Append(t.Context(), []eventlog.Record{record(0)})
	require.NoError(t, err)
	stopServer(s)
	_, err = log.Bounds(t.Context())
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	page, err := log.Read(t.Context(), eventlog.Query{})
	require.NoError(t, err)
	require.Len(t, page.Entries, 1)
	require.NoError(t, log.Check(t.Context(), at[0].Position))
	o.Dir = t.TempDir()
	_, err = natslog.Open(t.Context(), o)
	require.ErrorContains(t, err, "none of the servers could be reached")
	require.NoError(t, log.Err(), "it has not failed")
}
