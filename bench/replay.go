package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// fillBatch is how many records a large log is filled with at a time.
const fillBatch = 500

// replayer reads all events of an account and tells how many there are.
type replayer interface {
	engine
	replay(ctx context.Context, account string) (int, error)
}

// readableLog reads the product's log page by page, as its stream does.
type readableLog struct{ eventlog.Log }

func (l readableLog) replay(ctx context.Context, account string) (int, error) {
	only := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{account}}})
	found := 0
	for after := eventlog.Sequence(0); ; {
		page, err := l.Read(ctx, eventlog.Query{After: after, Filter: only})
		if err != nil {
			return found, err
		}
		found += len(page.Entries)
		if !page.More {
			return found, nil
		}
		after = page.Scanned.Sequence
	}
}

var (
	_ replayer = readableLog{}
	_ replayer = (*jetStreamLog)(nil)
)

func asReplayer(e engine) replayer {
	if log, ok := e.(eventlog.Log); ok {
		return readableLog{log}
	}
	return e.(replayer)
}

// filled is a contender's log, closed, in a folder.
type filled struct {
	contender
	dir string
}

func filledName(f *filled) string { return f.name }

// reads are how many accounts are read to warm a store up, and how many then are
// measured.
func (b *bench) reads() (before, measured int) {
	if b.quick {
		return 5, 15
	}
	return 20, 50
}

func (b *bench) aboutReplay() time.Duration {
	before, measured := b.reads()
	filling := time.Duration(b.events) * 20 * time.Microsecond
	// JetStream looks at every message's subject.
	reading := time.Duration(before+measured+1) * time.Duration(b.events) * 100 * time.Nanosecond
	return filling + time.Duration(b.rounds)*(reading+3*time.Second)
}

// runReplay measures reading the events of one account. Logs are filled once,
// and opened anew in each round. On JetStream the product's is filled with as many
// messages as there are appends, of fillBatch events each: one an event would be a sync
// an event, and what is read is the replica's copy, which knows nothing of messages.
func (b *bench) runReplay(ctx context.Context) ([]result, error) {
	// How a log was synced while it was filled does not matter to who reads it.
	contenders := b.named([]contender{wabastream(), replica(), jetStreamServer(jetStreamLazy, lazySync)})
	about := fmt.Sprintf("events of one account, of %d among %d, ", accounts, b.events)
	warm := newTable("replay: "+about+"store and system cache warm", "p50 µs", jetStreamLazy, namesOf(contenders)).lessIsBetter().
		wants(replayGoals()).atMost(mostReplayMicros)
	cold := newTable("replay: "+about+"store just opened, evicted from the system cache", "p50 µs", jetStreamLazy, namesOf(contenders)).lessIsBetter()
	var logs []*filled
	for _, c := range contenders {
		fmt.Fprintf(b.progress, "replay: filling %s with %d events\n", c.name, b.events)
		f, err := b.fill(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("fill %s: %w", c.name, err)
		}
		logs = append(logs, f)
	}
	counts := countByAccount(b.events, accounts)
	err := takeTurns(ctx, b, "replay", logs, filledName, func(f *filled) error {
		r := replays{counts: counts, next: uint64(len(cold.row(f.name).values)) * 1000}
		err := r.measure(ctx, b, f)
		cold.add(f.name, r.cold)
		warm.add(f.name, r.warm)
		return err
	})
	for _, f := range logs {
		err = errors.Join(err, os.RemoveAll(f.dir))
	}
	return append(b.withReplica(warm, oursOnJetStream), b.withReplica(cold, oursOnJetStream)...), err
}

// fill writes the first records of the workload to a new log and closes it.
func (b *bench) fill(ctx context.Context, c contender) (*filled, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	e, err := c.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	err = errors.Join(fillEngine(ctx, e, b.load, b.events), e.Close())
	return &filled{contender: c, dir: dir}, err
}

func fillEngine(ctx context.Context, e engine, load *workload, n uint64) error {
	for done := uint64(0); done < n; done += fillBatch {
		if _, err := e.Append(ctx, load.from(done, min(fillBatch, n-done))); err != nil {
			return err
		}
	}
	return nil
}

// countByAccount tells how many of the first records each account has.
func countByAccount(events, accounts uint64) []int {
	counts := make([]int, accounts)
	for n := range events {
		counts[accountOf(n, accounts)]++
	}
	return counts
}

// replays reads accounts, none twice, and checks that nothing is missing.
type replays struct {
	counts     []int
	next       uint64 // account read next
	cold, warm float64
}

func (r *replays) measure(ctx context.Context, b *bench, f *filled) (err error) {
	if err := coolDown(f.dir); err != nil {
		return fmt.Errorf("evict from the system's cache: %w", err)
	}
	e, err := f.open(ctx, f.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	reader := asReplayer(e)
	if r.cold, err = r.p50(ctx, reader, 1); err != nil {
		return err
	}
	if err := warmUp(f.dir); err != nil {
		return fmt.Errorf("read into the system's cache: %w", err)
	}
	before, measured := b.reads()
	if _, err = r.p50(ctx, reader, before); err != nil {
		return err
	}
	r.warm, err = r.p50(ctx, reader, measured)
	return err
}

// p50 reads a number of accounts one after the other.
func (r *replays) p50(ctx context.Context, reader replayer, n int) (float64, error) {
	var took []float64
	for range n {
		at := r.next % accounts
		r.next += 7 // neighbours may share a block of an index
		start := time.Now()
		found, err := reader.replay(ctx, account(at))
		if err != nil {
			return 0, err
		}
		took = append(took, micros(time.Since(start)))
		if found != r.counts[at] {
			return 0, fmt.Errorf("account %d has %d events, read %d", at, r.counts[at], found)
		}
	}
	return median(took), nil
}
