package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// scale is one large log and what is found of it.
type scale struct {
	*bench
	program *serverProgram
	dir     string
	load    *workload
	counts  []int // events of each account
	unread  []int // accounts in the order they are read in
	peak    *finding
}

// scaleSizes are how much is measured.
type scaleSizes struct {
	before, warm, cold int           // accounts read
	loaded             time.Duration // a log or a server, before it is killed
	ingesting          time.Duration
}

func (b *bench) scaleSizes() scaleSizes {
	if b.quick {
		return scaleSizes{before: 10, warm: 50, cold: 5, loaded: time.Second, ingesting: 3 * time.Second}
	}
	return scaleSizes{before: 20, warm: 200, cold: 50, loaded: 5 * time.Second, ingesting: 20 * time.Second}
}

func (b *bench) aboutScale() time.Duration {
	sizes := b.scaleSizes()
	filling := time.Duration(b.events) * 30 * time.Microsecond
	streaming := time.Duration(b.events) * 6 * time.Microsecond
	cold := time.Duration(2*sizes.cold) * 800 * time.Millisecond
	opening := time.Duration(b.rounds) * (2*sizes.loaded + 6*time.Second)
	return filling + streaming + cold + opening + sizes.ingesting + 15*time.Second
}

// runScale fills a log as the front does, and measures what must not grow with
// it: reading one account, opening, and memory.
func (b *bench) runScale(ctx context.Context) (_ []result, err error) {
	s := &scale{bench: b, load: newWorkload(b.wabas), counts: countByAccount(b.events, b.wabas)}
	s.unread = rand.New(rand.NewPCG(3, 4)).Perm(int(b.wabas)) //nolint:gosec // the same order in every run
	if s.program, err = b.server(ctx); err != nil {
		return nil, err
	}
	if s.dir, err = b.folder(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	sheets := []struct {
		about   string
		measure func(context.Context, *sheet) error
	}{
		{"filling it", s.fillIt},
		{"reading one WABA", s.readAccounts},
		{"memory of a server on it", s.serve},
		{"opening it", s.openAgain},
	}
	var results []result
	for _, step := range sheets {
		fmt.Fprintf(b.progress, "scale: %s\n", step.about)
		found := &sheet{title: fmt.Sprintf("scale: %d events of %d WABAs: %s", b.events, b.wabas, step.about)}
		if err := step.measure(ctx, found); err != nil {
			return nil, fmt.Errorf("%s: %w", step.about, err)
		}
		results = append(results, found)
	}
	return results, nil
}

// fillIt appends by many writers, and closes the log.
func (s *scale) fillIt(ctx context.Context, found *sheet) error {
	e, err := wabastream().open(ctx, s.dir)
	if err != nil {
		return err
	}
	w := &writers{log: e, load: s.load, end: s.events}
	stop := telling(s.progress, func() string { return fmt.Sprintf("scale: %d of %d events", w.done(), s.events) })
	start := time.Now()
	err = w.run(ctx)
	took := time.Since(start)
	stop()
	if err := errors.Join(err, e.Close()); err != nil {
		return err
	}
	bytes, err := diskBytes(s.dir)
	if err != nil {
		return err
	}
	found.find(fmt.Sprintf("durable appends of %d writers", writerCount), "events/s").add(float64(s.events) / took.Seconds())
	found.find(fmt.Sprintf("disk an event, payload %d bytes, header about 80", payloadBytes), "bytes").add(float64(bytes) / float64(s.events))
	found.find("disk", "MiB").add(mebibytes(bytes))
	return nil
}

// nextAccount is one that was not read before, until all were.
func (s *scale) nextAccount() int {
	at := s.unread[0]
	s.unread = append(s.unread[1:], at)
	return at
}

func mebibytes[N uint64 | float64](bytes N) float64 { return float64(bytes) / (1 << 20) }
