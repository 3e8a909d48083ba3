package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// besiegedMiB is the most memory that the server may take while it is abused.
	besiegedMiB = 400
	// besiegedP99 is the longest that 99 of 100 of the provider's callbacks may take
	// meanwhile, on a machine that the abuse comes from, too.
	besiegedP99 = 5 * time.Second
	// enoughServed is of how many callbacks it has to be seen.
	enoughServed = 20
	// besiegedLines is how many bytes of log lines a second of abuse may make.
	besiegedLines = 4 << 10
)

// abuseScale is how much abuse there is; make campaign asks for all of it.
type abuseScale struct {
	lasts                time.Duration // each kind
	slow, crowd, sources int
}

// fullRounds says that make campaign runs the test.
func fullRounds() bool { return os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" }

func scaleOfAbuse() abuseScale {
	if fullRounds() {
		return abuseScale{lasts: 35 * time.Second, slow: 1000, crowd: 2500, sources: 100_000}
	}
	return abuseScale{lasts: time.Second, slow: 1000, crowd: 2300, sources: 1000}
}

// abuse is one kind of it.
type abuse struct {
	name string
	do   func(s *siege)
	// enough, if it is set, ends it, instead of the time.
	enough func(s *siege) bool
	// crowded says that new connections may have to come again.
	crowded bool
	// check is for what is particular to it.
	check func(t *testing.T, b *besieged, s *siege)
}

func (scale abuseScale) kinds() []abuse {
	const posters = 64
	return []abuse{
		{name: "slow headers and bodies", do: func(s *siege) { s.slowly(scale.slow) }, check: func(t *testing.T, _ *besieged, s *siege) {
			t.Helper()
			if scale.lasts > 30*time.Second { // the most that a body may take
				require.GreaterOrEqual(t, int(s.closed.Load()), scale.slow, "connections closed for being slow")
			}
		}},
		{name: "unsigned and forged posts", do: func(s *siege) { s.flood(posters) }},
		{name: "bodies without end", do: func(s *siege) { s.overfill(posters) }},
		{name: "sources that do not exist", do: func(s *siege) { s.masquerade(scale.sources) },
			enough: func(s *siege) bool { return int(s.count.Load()) == scale.sources }},
		{name: "more connections than allowed", do: func(s *siege) { s.trickle(scale.crowd, request(besiegedPath, true)+"x-slow: ") }, crowded: true,
			check: func(t *testing.T, b *besieged, _ *siege) {
				t.Helper()
				require.Positive(t, b.metrics(t)[`wabastream_connections_shed_total{listener="http_addr"}`])
			}},
		{name: "signed and unreadable", do: func(s *siege) { s.garble(posters) }, check: func(t *testing.T, b *besieged, _ *siege) {
			t.Helper()
			held, err := os.ReadDir(b.find(`data +(\S+)`) + "/quarantine")
			require.NoError(t, err)
			require.LessOrEqual(t, len(held), 1000+1, "files, one of which is being written")
		}},
	}
}

// Whatever strangers do to the front, every callback of the provider is answered 200
// and reaches a subscriber on one stream; memory, log lines, metrics and the disk stay
// bounded, and nothing is left behind.
func TestAbuseLeavesTheLoyalServed(t *testing.T) {
	if !fullRounds() {
		t.Parallel() // else the figures are of this test alone
	}
	b := startBesieged(t)
	f := follow(t, b.grpc, withHeartbeat(time.Second), bySubscribe)
	posted := startLoyal(t, b, "before").afterSome(t).finish()
	before := b.holds(t)
	l := startLoyal(t, b, "during")
	scale := scaleOfAbuse()
	for _, kind := range scale.kinds() {
		b.suffer(t, l, kind, scale.lasts)
	}
	maps.Copy(posted, l.finish())

	f.await(t, "every callback", func() bool { return len(f.events) >= len(posted) })
	f.leave(t)
	require.Empty(t, f.lost)
	require.Equal(t, 1, f.streams)
	require.ElementsMatch(t, slices.Collect(maps.Keys(posted)), f.events)
	require.Equal(t, len(posted), b.events(t))
	after := b.requireCalm(t, before)
	t.Logf("%d callbacks of the provider, on one stream each once; before %v, after %v", len(posted), before, after)
	require.NoError(t, b.stop())
}

// suffer has one kind of abuse go on and checks what became of the others meanwhile.
func (b *besieged) suffer(t *testing.T, l *loyal, kind abuse, lasts time.Duration) {
	t.Helper()
	b.resetPeak(t)
	logged, began := b.logged.Load(), time.Now()
	l.requireServed(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	s := &siege{Context: ctx, front: b.front}
	kind.do(s)
	if kind.enough == nil {
		pause(ctx, lasts)
	} else {
		require.Eventually(t, func() bool { return kind.enough(s) }, 10*time.Minute, time.Millisecond)
	}
	l.afterSome(t)
	took := time.Since(began)
	served := l.requireServed(t)
	if kind.check != nil {
		kind.check(t, b, s)
	}
	end()
	s.strangers.Wait()

	peak := b.memory(t, "VmHWM")
	t.Logf("%s: %d in %v (%.0f/s), %d closed by the server; memory peak %d MiB; of %d callbacks half took %v, 99 of 100 %v, all %v, new connections again %d",
		kind.name, s.count.Load(), took.Round(time.Millisecond), float64(s.count.Load())/took.Seconds(), s.closed.Load(), peak,
		served.count, served.median.Round(10*time.Microsecond), served.p99.Round(10*time.Microsecond), served.max.Round(10*time.Microsecond), served.again)
	require.Less(t, peak, besiegedMiB*memoryFactor)
	if fullRounds() { // else the machine is busy with other tests
		require.Less(t, served.p99, besiegedP99)
	}
	require.LessOrEqual(t, b.logged.Load()-logged, int64(besiegedLines*(2+took.Seconds())))
	if !kind.crowded {
		require.Zero(t, served.again, "new connections")
	}
}
