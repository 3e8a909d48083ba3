package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
)

// purger is a stream of which replicas purge what is trimmed as soon as they may.
type purger struct {
	*testing.T
	url     string
	kept    int              // by how many servers, if not by one
	n       int              // records appended
	entries []eventlog.Entry // all that there ever were
}

func (p *purger) options() natslog.Options {
	o := on("S", max(p.kept, 1), p.TempDir(), p.url)
	o.Window, o.IDHorizon = 8, time.Nanosecond
	return o
}

// open opens a replica, and names its projection.
func (p *purger) open(o natslog.Options) (*natslog.Log, eventlog.State) {
	p.Helper()
	log := replica{o}.open(p.T, time.Now)
	p.Cleanup(func() { require.NoError(p, log.Close()) })
	state, err := log.Project(p.Context(), eventlogtest.Chain())
	require.NoError(p, err)
	return log, state
}

func (p *purger) append(log *natslog.Log, count int) {
	p.Helper()
	for range count {
		p.n++
		r := record(p.n)
		r.WABAID, r.Type = fmt.Sprint("waba", p.n%5), fmt.Sprint("type", p.n%4)
		r.Payload = bytes.Repeat(r.Payload, 20)
		at, err := log.Append(p.Context(), []eventlog.Record{r})
		require.NoError(p, err)
		e, err := log.Lookup(p.Context(), r.ID)
		require.NoError(p, err)
		require.Equal(p, at[0].Position, e.Position)
		p.entries = append(p.entries, e)
	}
}

// whole is what folding everything gives, with the notes after a sequence.
func (p *purger) whole(after eventlog.Sequence) string {
	p.Helper()
	values := make(map[string][]byte)
	changes, err := eventlogtest.Chain().Fold(func([]byte) ([]byte, error) { return nil, nil }, p.entries)
	require.NoError(p, err)
	for _, w := range changes.Writes {
		values[string(w.Key)] = w.Value
	}
	var out strings.Builder
	fmt.Fprintln(&out, p.entries[len(p.entries)-1].Position)
	for i := range 5 {
		if key := fmt.Sprint("waba", i); values[key] != nil {
			fmt.Fprintf(&out, "%s %x\n", key, values[key])
		}
	}
	// The value before is one of the call's, as the fold is made of one.
	before := make(map[string][]byte)
	for i := range p.entries {
		one, err := eventlogtest.Chain().Fold(func(key []byte) ([]byte, error) { return before[string(key)], nil }, p.entries[i:i+1])
		require.NoError(p, err)
		for _, n := range one.Notes {
			if n.At > after {
				fmt.Fprintf(&out, "%d %x\n", n.At, n.Value)
			}
		}
		for _, w := range one.Writes {
			before[string(w.Key)] = w.Value
		}
	}
	return out.String()
}

// same wants the state of a replica to be what folding everything gives, also when it is
// made again.
func (p *purger) same(log *natslog.Log, state eventlog.State, start eventlog.Sequence) {
	p.Helper()
	require.Eventually(p, func() bool { // trims are done behind the reader
		bounds, err := log.Bounds(p.Context())
		return err == nil && bounds.Start.Sequence == start
	}, 10*time.Second, 5*time.Millisecond)
	want := p.whole(start)
	require.Equal(p, want, p.dump(state, start))
	differences, err := state.Rebuild(p.Context(), func(uint64, uint64) {})
	require.NoError(p, err)
	require.Zero(p, differences)
	require.Equal(p, want, p.dump(state, start))
}

func (p *purger) dump(state eventlog.State, after eventlog.Sequence) string {
	p.Helper()
	require.NoError(p, state.Wait(p.Context(), p.entries[len(p.entries)-1].Position.Sequence-1))
	v, err := state.View()
	require.NoError(p, err)
	defer v.Close()
	var out strings.Builder
	fmt.Fprintln(&out, v.Position())
	require.NoError(p, v.Scan(nil, nil, false, func(key, value []byte) bool {
		fmt.Fprintf(&out, "%s %x\n", key, value)
		return true
	}))
	require.NoError(p, v.Notes(after, func(n eventlog.Note) bool {
		fmt.Fprintf(&out, "%d %x\n", n.At, n.Value)
		return true
	}))
	return out.String()
}

// objects are those beside the stream, and how many messages they take.
func (p *purger) objects() (names []string, messages uint64) {
	p.Helper()
	bucket := streamOf(p.T, p.url, "OBJ_S")
	js := jetStreamOf(p.T, p.url)
	store, err := js.ObjectStore(p.Context(), "S")
	require.NoError(p, err)
	all, err := store.List(p.Context())
	if err != nil {
		require.ErrorIs(p, err, jetstream.ErrNoObjectsFound)
	}
	for _, info := range all {
		names = append(names, info.Name)
	}
	return names, bucket.CachedInfo().State.Msgs
}

// The stream is purged of events that a state is made of, again and again, and stays
// small; so does what is stored beside it. A replica that begins then, and one that was
// away meanwhile, have the same state as those that were there, and as folding
// everything that there ever was gives.
func TestNewReplicaHasTheStateOfPurgedEvents(t *testing.T) {
	t.Parallel()
	p := &purger{T: t, url: oneServer(t)}
	away := p.options()
	sleeper := replica{away}.open(t, time.Now)
	_, err := sleeper.Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	p.append(sleeper, 3)
	require.NoError(t, sleeper.Close())

	first, firstState := p.open(p.options())
	second, secondState := p.open(p.options())
	var start, purged eventlog.Sequence
	for round := range 12 {
		p.append(first, 20)
		p.append(second, 20)
		require.NoError(t, first.Check(t.Context(), p.entries[p.n-1].Position), "it has what the other one took")
		require.NoError(t, first.TrimType(t.Context(), "type1", eventlog.Sequence(p.n-3)))
		start = eventlog.Sequence(p.n - 8)
		require.NoError(t, second.Trim(t.Context(), start))
		stream := streamOf(t, p.url, "S").CachedInfo().State
		require.Less(t, stream.Msgs, uint64(120), "round %d", round)
		names, messages := p.objects()
		require.LessOrEqual(t, len(names), 1)
		require.LessOrEqual(t, messages, uint64(2))
		purged = eventlog.Sequence(stream.FirstSeq)
	}
	require.Greater(t, purged, eventlog.Sequence(300))
	names, _ := p.objects()
	require.Len(t, names, 1)

	third, thirdState := p.open(p.options())
	slept, sleptState := p.open(away)
	p.append(third, 5)
	logs := []*natslog.Log{first, second, third, slept}
	for i, state := range []eventlog.State{firstState, secondState, thirdState, sleptState} {
		p.same(logs[i], state, start)
	}
	for _, log := range logs {
		page, err := log.Read(t.Context(), eventlog.Query{After: start, Held: true, Raw: true})
		require.NoError(t, err)
		for _, e := range page.Entries {
			require.Equal(t, p.entries[e.Position.Sequence-1], e)
		}
		again, err := log.Append(t.Context(), []eventlog.Record{p.entries[p.n-2].Record})
		require.NoError(t, err)
		require.True(t, again[0].Duplicate, "its id is known")
	}
	// The newcomer purges in its turn.
	for range 3 {
		p.append(third, 60)
		start = eventlog.Sequence(p.n - 1)
		require.NoError(t, third.Trim(t.Context(), start))
	}
	fifth, fifthState := p.open(p.options())
	p.same(fifth, fifthState, start)
	p.same(third, thirdState, start)
}

// On three servers it is the same while the leaders of the stream and of the object store
// change.
func TestPurgeOnThreeServers(t *testing.T) {
	t.Parallel()
	n := startNodes(t)
	p := &purger{T: t, url: strings.Join(n.urls(), ","), kept: clusterSize}
	first, firstState := p.open(p.options())
	second, secondState := p.open(p.options())
	for _, stream := range []string{"S", "OBJ_S", "S"} {
		n.awaitHealthy("S")
		n.awaitHealthy("OBJ_S")
		down := n.leaderOf(stream)
		n.stop(down)
		p.append(first, 60)
		require.NoError(t, second.Check(t.Context(), p.entries[p.n-1].Position))
		start := eventlog.Sequence(p.n - 5)
		require.NoError(t, second.Trim(t.Context(), start))
		begun, begunState := p.open(p.options())
		p.same(begun, begunState, start)
		p.same(first, firstState, start)
		p.same(second, secondState, start)
		n.start(down)
	}
	require.Greater(t, firstMessage(t, p.url, "S"), uint64(100))
	names, _ := p.objects()
	require.LessOrEqual(t, len(names), 1)
}

// A replica is begun with what was purged, and is stopped and started on its way.
func TestNewReplicaIsStoppedWhileItBegins(t *testing.T) {
	t.Parallel()
	p := &purger{T: t, url: oneServer(t)}
	log, state := p.open(p.options())
	p.append(log, 150)
	require.NoError(t, log.TrimType(t.Context(), "type2", 140))
	require.NoError(t, log.Trim(t.Context(), 120))
	require.Greater(t, firstMessage(t, p.url, "S"), uint64(80))
	fresh := p.options()
	for range 5 {
		begun := replica{fresh}.open(t, time.Now) // its projection is not named
		bounds, err := begun.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, eventlog.Sequence(120), bounds.Start.Sequence, "what was trimmed before is hidden from the first moment")
		p.append(begun, 1)
		require.ErrorIs(t, begun.Trim(t.Context(), 149), eventlog.ErrUnprojected)
		require.NoError(t, begun.Close())
	}
	begun, begunState := p.open(fresh)
	p.same(begun, begunState, 120)
	p.same(log, state, 120)
}

// Two replicas purge at once: one of them is first, and the other leaves nothing behind.
func TestReplicasPurgeAtOnce(t *testing.T) {
	t.Parallel()
	p := &purger{T: t, url: oneServer(t)}
	first, firstState := p.open(p.options())
	second, secondState := p.open(p.options())
	for range 6 {
		p.append(first, 60)
		start := eventlog.Sequence(p.n - 2)
		done := make(chan error, 2)
		for _, log := range []*natslog.Log{first, second} {
			require.NoError(t, log.Check(t.Context(), p.entries[p.n-1].Position))
			go func() { done <- log.Trim(t.Context(), start) }()
		}
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		names, _ := p.objects()
		require.LessOrEqual(t, len(names), 2)
		third := p.options()
		log, state := p.open(third)
		p.same(log, state, start)
		p.same(first, firstState, start)
		p.same(second, secondState, start)
		require.NoError(t, log.Close())
	}
}

// withRights starts a server with two users, one of whom may not call some of its API,
// and returns how to reach it as either.
func withRights(t *testing.T, denied ...string) (some, all string) {
	t.Helper()
	o := serverOptions(t.TempDir())
	o.Users = []*server.User{
		{Username: "some", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: denied}}},
		{Username: "all", Password: "p"},
	}
	address := strings.TrimPrefix(startServer(t, o).ClientURL(), "nats://")
	return "nats://some:p@" + address, "nats://all:p@" + address
}

// A replica ends behind each of its steps: what it has left is harmless, and the next one
// goes on, and removes it.
func TestPurgeThatWasCutOff(t *testing.T) {
	t.Parallel()
	for name, denied := range map[string]string{
		"states are stored, and the stream says nothing": "wabastream.S.base",
		"the stream has its base, and is not purged":     "$JS.API.STREAM.PURGE.S",
		"it is purged, and earlier states are there":     "$JS.API.STREAM.PURGE.OBJ_S",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			some, all := withRights(t, denied)
			p := &purger{T: t, url: all}
			log, state := p.open(p.options())
			p.append(log, 60)
			require.NoError(t, log.Trim(t.Context(), 55))
			before := firstMessage(t, all, "S")
			require.Greater(t, before, uint64(1))

			cut := p.options()
			cut.URL, cut.ObjectWait = some, 4*time.Second
			broken, _ := p.open(cut)
			p.append(log, 60)
			require.NoError(t, broken.Check(t.Context(), p.entries[p.n-1].Position))
			require.NoError(t, broken.Trim(t.Context(), 115), "it is told in the log")
			require.NoError(t, broken.Close())
			names, _ := p.objects()
			require.Len(t, names, 2)
			begun, begunState := p.open(p.options())
			p.same(begun, begunState, 115)

			next := p.options()
			next.ObjectWait = 4 * time.Second
			mending, _ := p.open(next)
			require.Eventually(t, func() bool {
				p.append(mending, 30)
				require.NoError(t, mending.Trim(t.Context(), eventlog.Sequence(p.n-5)))
				names, messages := p.objects()
				return len(names) == 1 && messages == 2
			}, 30*time.Second, 100*time.Millisecond)
			require.Greater(t, firstMessage(t, all, "S"), before)
			begun, begunState = p.open(p.options())
			p.same(begun, begunState, eventlog.Sequence(p.n-5))
			p.same(log, state, eventlog.Sequence(p.n-5))
		})
	}
}

// Chunks of an object that was never one are removed once nobody can be storing it.
func TestPartsOfObjectsAreRemoved(t *testing.T) {
	t.Parallel()
	p := &purger{T: t, url: oneServer(t)}
	o := p.options()
	o.ObjectWait = 2 * time.Second
	log, _ := p.open(o)
	js := jetStreamOf(t, p.url)
	_, err := js.Publish(t.Context(), "$O.S.C.abandoned", []byte("half"))
	require.NoError(t, err)
	store, err := js.ObjectStore(t.Context(), "S")
	require.NoError(t, err)
	_, err = store.PutBytes(t.Context(), "nobody knows", []byte("whole"))
	require.NoError(t, err)
	p.append(log, 60)
	require.NoError(t, log.Trim(t.Context(), 55))
	names, messages := p.objects()
	require.Len(t, names, 2, "it may be another replica's, which is storing it")
	require.Equal(t, uint64(5), messages)
	require.Eventually(t, func() bool {
		p.append(log, 30)
		require.NoError(t, log.Trim(t.Context(), eventlog.Sequence(p.n-5)))
		names, messages := p.objects()
		return len(names) == 1 && messages == 2
	}, 30*time.Second, 100*time.Millisecond)
}

// What is stored beside the stream is damaged, or gone: no replica begins without it, and
// says what it lacks; those that have it go on.
func TestDamagedStatesAreRefused(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, store jetstream.ObjectStore, object string, bucket jetstream.Stream){
		"gone": func(t *testing.T, store jetstream.ObjectStore, object string, _ jetstream.Stream) {
			t.Helper()
			require.NoError(t, store.Delete(t.Context(), object))
		},
		"without bytes": func(t *testing.T, _ jetstream.ObjectStore, _ string, bucket jetstream.Stream) {
			t.Helper()
			require.NoError(t, bucket.Purge(t.Context(), jetstream.WithPurgeSubject("$O.S.C.>")))
		},
		"cut off": func(t *testing.T, store jetstream.ObjectStore, object string, _ jetstream.Stream) {
			t.Helper()
			whole, err := store.GetBytes(t.Context(), object)
			require.NoError(t, err)
			_, err = store.PutBytes(t.Context(), object, whole[:len(whole)-20])
			require.NoError(t, err)
		},
		"changed": func(t *testing.T, store jetstream.ObjectStore, object string, _ jetstream.Stream) {
			t.Helper()
			whole, err := store.GetBytes(t.Context(), object)
			require.NoError(t, err)
			whole[len(whole)/2] ^= 1
			_, err = store.PutBytes(t.Context(), object, whole)
			require.NoError(t, err)
		},
		"of another log": func(t *testing.T, store jetstream.ObjectStore, object string, _ jetstream.Stream) {
			t.Helper()
			whole, err := store.GetBytes(t.Context(), object)
			require.NoError(t, err)
			whole[3] ^= 1
			_, err = store.PutBytes(t.Context(), object, whole)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &purger{T: t, url: oneServer(t)}
			away := p.options()
			sleeper := replica{away}.open(t, time.Now)
			p.append(sleeper, 3)
			require.NoError(t, sleeper.Close())
			log, state := p.open(p.options())
			p.append(log, 60)
			require.NoError(t, log.Trim(t.Context(), 55))
			names, _ := p.objects()
			require.Len(t, names, 1)
			js := jetStreamOf(t, p.url)
			store, err := js.ObjectStore(t.Context(), "S")
			require.NoError(t, err)
			damage(t, store, names[0], streamOf(t, p.url, "OBJ_S"))
			for _, o := range []natslog.Options{p.options(), away} {
				_, err = natslog.Open(t.Context(), o)
				require.ErrorContains(t, err, names[0])
			}
			p.append(log, 60)
			p.same(log, state, 55)
			require.NoError(t, log.Trim(t.Context(), 115), "the next base is whole")
			begun, begunState := p.open(p.options())
			p.same(begun, begunState, 115)
			begun, begunState = p.open(away)
			p.same(begun, begunState, 115)
		})
	}
}

// An object store that may lose what it holds is refused.
func TestObjectStoresThatMayLoseStatesAreRefused(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	js := jetStreamOf(t, url)
	_, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "S", TTL: time.Hour})
	require.NoError(t, err)
	_, err = natslog.Open(t.Context(), on("S", 1, t.TempDir(), url))
	require.ErrorContains(t, err, "OBJ_S, is configured in a way that may lose what it holds: max_age")
	_, err = js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "M", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	_, err = natslog.Open(t.Context(), on("M", 1, t.TempDir(), url))
	require.ErrorContains(t, err, "storage must be file")
	_, err = js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "GOOD"})
	require.NoError(t, err)
	openAll(t, on("GOOD", 1, t.TempDir(), url))
	_, err = natslog.Open(t.Context(), on("s$", 1, t.TempDir(), url))
	require.ErrorContains(t, err, "A-Z, a-z, 0-9")
}

// A purge that gives back less than its base takes is not worth it.
func TestPurgeOfLittleIsNotWorthIt(t *testing.T) {
	t.Parallel()
	p := &purger{T: t, url: oneServer(t)}
	log := replica{p.options()}.open(t, time.Now)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	large := eventlog.Projection{Name: "large", Version: 1, Fold: func(_ func([]byte) ([]byte, error), entries []eventlog.Entry) (eventlog.Changes, error) {
		var out eventlog.Changes
		for _, e := range entries {
			out.Writes = append(out.Writes, eventlog.Write{Key: e.ID[:], Value: bytes.Repeat([]byte("x"), 4000)})
		}
		return out, nil
	}}
	_, err := log.Project(t.Context(), large)
	require.NoError(t, err)
	p.append(log, 200)
	require.NoError(t, log.Trim(t.Context(), 190))
	require.Equal(t, uint64(1), firstMessage(t, p.url, "S"))
	names, messages := p.objects()
	require.Empty(t, names)
	require.Zero(t, messages)
}

// TestConformanceWithPurges runs every test on a stream that is purged at each trim that
// it can be purged at.
func TestConformanceWithPurges(t *testing.T) {
	t.Parallel()
	s := startServer(t, serverOptions(t.TempDir()))
	var names streams
	eventlogtest.Run(t, func(t *testing.T) eventlogtest.Store {
		t.Helper()
		o := on(names.name(), 1, t.TempDir(), s.ClientURL())
		o.Window, o.IDHorizon = 16, time.Nanosecond
		return replica{o}
	})
}
