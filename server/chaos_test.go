package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/guarantees"
)

const (
	// restarts is how often the server goes down in a round.
	restarts = 3
	// busyTime is how long all is quiet but for the load: longer than a heartbeat.
	busyTime = 1300 * time.Millisecond
	// catchUpTime is how long readers may take to come to the head once the trouble
	// is over: a heartbeat, and what a busy machine needs.
	catchUpTime = 60 * time.Second
	// tolerance is how late a frame may be on a busy machine.
	tolerance = time.Second
)

// TestChaosCampaign runs readers of every kind and producers against a server that
// is killed, restarted and trimmed while their connections are cut and stalled, and
// then holds what they recorded against every guarantee of the stream. It does so to
// the real process, and to one whose power is cut. A campaign has 30 rounds of each.
//
// A seed decides who does what; when it happens is up to the machine. One round
// alone: WABASTREAM_TEST_ROUNDS=full go test -run TestChaosCampaign/power/17 ./server
func TestChaosCampaign(t *testing.T) {
	t.Parallel()
	rounds := 1
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		rounds = 30
	}
	sum := newTally()
	for seed := range rounds {
		t.Run(fmt.Sprint("process/", seed), func(t *testing.T) {
			t.Parallel()
			c := newChaos(t, uint64(2*seed))
			c.victim = newProcessVictim(t)
			c.run(sum)
		})
		t.Run(fmt.Sprint("power/", seed), func(t *testing.T) {
			t.Parallel()
			c := newChaos(t, uint64(2*seed+1))
			c.victim = newPowerVictim(t, c.random, c.trims, func() []*link { return c.links })
			c.run(sum)
		})
	}
	t.Cleanup(func() { sum.check(t) })
}

// chaos is one round.
type chaos struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	victim victim
	trims  *trims
	goal   goal

	links     []*link
	producers []*producer
	readers   []*reader
	stormy    []*link // those that are cut and stalled
	pauses    []guarantees.Span
	kills     int
	stops     int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	return &chaos{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), trims: newTrims()}
}

// chance is a source of chance for one goroutine, by the seed.
func (c *chaos) chance() *rand.Rand { return rand.New(rand.NewPCG(c.seed, c.random.Uint64())) }

func (c *chaos) link(target func() string) *link {
	l := newLink(c.t, target)
	c.links = append(c.links, l)
	return l
}

// run does everything in its order, and adds what happened.
func (c *chaos) run(sum *tally) {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	c.victim.start()

	var reading, producing, watching sync.WaitGroup
	watched, stopWatching := context.WithCancel(ctx)
	watching.Go(func() { c.watchMachine(watched) })
	enough, stopProducing := context.WithCancel(ctx)
	c.produce(ctx, enough, &producing)
	c.read(ctx, &reading)

	c.torment(ctx)
	pause(ctx, busyTime)

	stopProducing()
	producing.Wait()
	c.goal.sequence.Store(c.head(ctx))
	c.awaitReaders(&reading, cancel)
	stopWatching()
	watching.Wait()
	c.victim.stop()
	c.validate(sum)
}

func (c *chaos) produce(ctx, enough context.Context, running *sync.WaitGroup) {
	for i := range 4 {
		l := c.link(c.victim.httpAddr)
		c.stormy = append(c.stormy, l)
		p := newProducer(c.t, fmt.Sprint("producer", i), l, c.chance())
		c.producers = append(c.producers, p)
		running.Go(func() { p.run(ctx, enough) })
	}
}

func (c *chaos) read(ctx context.Context, running *sync.WaitGroup) {
	for _, role := range roles() {
		l := c.link(c.victim.grpcAddr)
		if !role.calm {
			c.stormy = append(c.stormy, l)
		}
		r := newReader(c.t, role, l, c.chance(), &c.goal)
		c.readers = append(c.readers, r)
		running.Go(func() { r.run(ctx) })
	}
}

// torment brings the server down and up again, and the network into disorder.
// Afterwards all is quiet, and the server is there.
func (c *chaos) torment(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	var storms sync.WaitGroup
	defer storms.Wait()
	defer cancel()
	for _, l := range c.stormy {
		random := c.chance()
		storms.Go(func() { l.weather(ctx, random) })
	}
	for range restarts {
		pause(ctx, time.Duration(300+c.random.IntN(600))*time.Millisecond)
		if c.kills == 0 || c.stops > 0 && c.random.IntN(2) == 0 { // at least one of each
			c.victim.kill()
			c.kills++
		} else {
			c.victim.stop()
			c.stops++
		}
		if c.random.IntN(2) == 0 {
			c.trim()
		}
		c.victim.start()
	}
}

// trim removes some of the log while the server is down, all of it or one type.
func (c *chaos) trim() {
	log := c.victim.open()
	defer func() { require.NoError(c.t, log.Close()) }()
	bounds, err := log.Bounds(c.t.Context())
	require.NoError(c.t, err)
	held := uint64(bounds.Head.Sequence - bounds.Start.Sequence)
	if held < 2 {
		return
	}
	upTo := bounds.Start.Sequence + eventlog.Sequence(1+c.random.Uint64N(held-1))
	trimmed := trimmedLog{log, c.trims, new(atomic.Bool)}
	if path := []string{"", "messages", "account_update.account_deleted"}[c.random.IntN(3)]; path != "" {
		require.NoError(c.t, trimmed.TrimType(c.t.Context(), path, upTo))
		return
	}
	require.NoError(c.t, trimmed.Trim(c.t.Context(), upTo))
}

// head asks the server for its newest event.
func (c *chaos) head(ctx context.Context) uint64 {
	conn, err := grpc.NewClient(c.victim.grpcAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(c.t, err)
	defer conn.Close()
	info, err := wabastreamv1.NewEventServiceClient(conn).GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{}, grpc.WaitForReady(true))
	require.NoError(c.t, err)
	head, err := guarantees.SequenceOf(info.GetHeadCursor())
	require.NoError(c.t, err)
	return head
}

// awaitReaders waits until every reader has come to the goal, and names those that
// do not.
func (c *chaos) awaitReaders(reading *sync.WaitGroup, giveUp func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		reading.Wait()
	}()
	patience := time.NewTimer(catchUpTime)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
		giveUp()
		<-done
		for _, r := range c.readers {
			if !r.done {
				c.t.Errorf("seed %d: reader %q has not come to the head, %d", c.seed, r.reader, c.goal.sequence.Load())
			}
		}
	}
}

// watchMachine notes when the machine stood still for longer than the tolerance
// can be blamed for.
func (c *chaos) watchMachine(ctx context.Context) {
	const beat = 50 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if now.Sub(last) > tolerance/2 {
			c.pauses = append(c.pauses, guarantees.Span{From: last, To: now})
		}
		last = now
	}
}

// validate holds what was recorded against every guarantee.
func (c *chaos) validate(sum *tally) {
	log := c.victim.open()
	h := &guarantees.History{Pauses: c.pauses, Tolerance: tolerance}
	var err error
	h.Log, h.Trims, err = c.trims.truth(c.t.Context(), log)
	require.NoError(c.t, err)
	require.NoError(c.t, log.Close())
	for _, p := range c.producers {
		h.Callbacks = append(h.Callbacks, p.posted...)
	}
	c.addStreams(h)
	round := c.count(h)
	for _, v := range guarantees.All() {
		checked, err := v.Check(h)
		if err != nil {
			c.t.Errorf("seed %d: %v", c.seed, err)
		}
		round.counts[v.Name] = checked
	}

	sum.add(round)
}

// addStreams adds what readers received, each with the stalls of its network.
func (c *chaos) addStreams(h *guarantees.History) {
	for _, r := range c.readers {
		stalls, _ := r.link.troubles()
		for _, s := range r.records {
			s.Stalls = stalls
			h.Streams = append(h.Streams, *s)
		}
	}
}
