package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/wabastream/wabastream/client"
	"golang.org/x/sync/errgroup"
)

const (
	soakInterval = 5 * time.Second // between two readings
	// fewestReadings are taken however short the run is.
	fewestReadings = 12
	// mostStored is more than a record of the workload takes, with all its keys.
	mostStored = payloadBytes + 400
	// catchUp is how long subscribers have at the end to receive what was posted.
	catchUp = 30 * time.Second
)

// soak is a server under a steady load, and what is seen of it.
type soak struct {
	*bench
	server      *serverProcess
	dir         string
	answers     *answers
	subscribers []*subscriber
	began       time.Time
	report      *soakReport
}

func (b *bench) soakDuration() time.Duration {
	return time.Duration(b.minutes * float64(time.Minute))
}

// calibration is for how long the greatest rate is measured.
func (b *bench) calibration() time.Duration {
	if b.quick {
		return 3 * time.Second
	}
	return 20 * time.Second
}

func (b *bench) aboutSoak() time.Duration {
	filling := time.Duration(0)
	if !b.quick {
		filling = time.Duration(float64(b.retentionBytes) / (20 << 20) * float64(time.Second))
	}
	return filling + b.calibration() + b.soakDuration() + 15*time.Second
}

// runSoak measures whether a server that is at its bound stays as it is.
func (b *bench) runSoak(ctx context.Context) (_ []result, err error) {
	program, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if !b.quick {
		if err := b.fillToBound(ctx, dir); err != nil {
			return nil, fmt.Errorf("fill the log: %w", err)
		}
	}
	p, err := program.start(ctx, dir,
		"--retention-bytes="+strconv.FormatUint(b.retentionBytes, 10), "--duplicate-horizon="+b.horizon.String())
	if err != nil {
		return nil, err
	}
	defer p.kill()
	s := &soak{bench: b, server: p, dir: dir, answers: &answers{}, report: &soakReport{Bound: b.retentionBytes}}
	if err := s.withSubscribers(ctx, s.post); err != nil {
		return nil, err
	}
	if err := p.stop(); err != nil {
		return nil, err
	}
	return []result{s.report}, nil
}

// fillToBound brings a log to the size that retention keeps it to: it is trimmed
// from the first minute on then. What counts is its size after opening it, for
// which what was written ahead is gone.
func (b *bench) fillToBound(ctx context.Context, dir string) error {
	fmt.Fprintf(b.progress, "soak: filling the log to %s MiB\n", figure(mebibytes(b.retentionBytes)))
	for next := uint64(0); ; {
		appended, err := b.appendMissing(ctx, dir, next)
		if err != nil || appended == 0 {
			return err
		}
		next += appended
	}
}

// appendMissing opens the log, appends rather less than it lacks, and closes it.
// It tells how many records that were.
func (b *bench) appendMissing(ctx context.Context, dir string, first uint64) (appended uint64, err error) {
	log, err := openLog(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	stats, err := log.Stats(ctx)
	if err != nil {
		return 0, err
	}
	kept := stats.Bytes - min(stats.Bytes, stats.Reclaimable)
	for kept+appended*mostStored < b.retentionBytes {
		records := b.load.from(first+appended, fillBatch)
		for i := range records {
			records[i].Horizon = b.horizon
		}
		if _, err := log.Append(ctx, records); err != nil {
			return appended, err
		}
		appended += fillBatch
	}
	return appended, nil
}

// withSubscribers runs use while subscribers read what comes, and waits for them.
func (s *soak) withSubscribers(ctx context.Context, use func(context.Context) error) (err error) {
	c, err := client.New(s.server.grpc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	readers, using := errgroup.WithContext(reading)
	for range s.subscriberCount {
		one := newSubscriber()
		s.subscribers = append(s.subscribers, one)
		readers.Go(func() error { return unless(reading, one.read(reading, c)) })
	}
	readers.Go(func() error {
		defer stop()
		return use(using)
	})
	return errors.Join(readers.Wait(), ctx.Err())
}

// post finds the greatest rate, and then posts at a share of it.
func (s *soak) post(ctx context.Context) error {
	for _, one := range s.subscribers {
		if err := one.wait(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.progress, "soak: measuring the greatest rate for %v\n", s.calibration())
	full := &callbackLoad{addr: s.server.http, callbacks: &s.callbacks, answers: s.answers}
	if err := s.postFor(ctx, s.calibration(), full, nil); err != nil {
		return err
	}
	p := s.answers.take()
	s.report.Greatest = float64(len(p.millis)) / s.calibration().Seconds()
	s.report.Rate = s.report.Greatest * s.share
	if s.report.Rate == 0 {
		return errors.New("the server took no callback")
	}
	fmt.Fprintf(s.progress, "soak: it takes %s callbacks/s; posting %s/s for %v\n", figure(s.report.Greatest), figure(s.report.Rate), s.soakDuration())
	paced := &callbackLoad{addr: s.server.http, callbacks: &s.callbacks, answers: s.answers, rate: s.report.Rate}
	s.began = time.Now()
	if err := s.postFor(ctx, s.soakDuration(), paced, s.take); err != nil {
		return err
	}
	return s.settle(ctx)
}

// postFor posts for a while, and takes readings meanwhile if it is told how.
func (s *soak) postFor(ctx context.Context, d time.Duration, l *callbackLoad, read func(context.Context, time.Duration) error) error {
	posting, stop := context.WithTimeout(ctx, d)
	defer stop()
	var posted error
	var posters sync.WaitGroup
	posters.Go(func() {
		defer stop() // no readings of a server that cannot be reached
		posted = l.run(posting)
	})
	var err error
	if read != nil {
		err = s.readings(posting, d, read)
	}
	if err != nil {
		stop()
	}
	posters.Wait()
	return errors.Join(err, posted, ctx.Err())
}

// readings takes one each interval until the posting ends.
func (s *soak) readings(ctx context.Context, d time.Duration, read func(context.Context, time.Duration) error) error {
	interval := min(soakInterval, d/fewestReadings)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	last := time.Now()
	for {
		select {
		case now := <-ticks.C:
			if err := read(ctx, now.Sub(last)); err != nil {
				return unless(ctx, err)
			}
			last = now
		case <-ctx.Done():
			return nil
		}
	}
}

// take adds a reading to the report.
func (s *soak) take(ctx context.Context, since time.Duration) error {
	m, err := s.server.metrics(ctx)
	if err != nil {
		return err
	}
	inRAM, err := s.server.memory()
	if err != nil {
		return err
	}
	disk, err := diskBytes(s.dir)
	if err != nil {
		return err
	}
	p := s.answers.take()
	r := reading{
		Seconds:    time.Since(s.began).Seconds(),
		Resident:   mebibytes(inRAM.resident),
		Heap:       mebibytes(m[metricHeap]),
		Goroutines: m[metricGoroutines],
		Files:      m[metricFiles],
		Disk:       mebibytes(disk),
		LogBytes:   mebibytes(m[metricLogBytes]),
		Held:       m[metricHeld],
		Trimmed:    m[metricTrimmed],
		Posted:     float64(len(p.millis)) / since.Seconds(),
		P50:        p.percentile(50, since),
		P99:        p.percentile(99, since),
		NotOK:      float64(p.refused),
		Lost:       float64(p.lost),
		Behind:     s.behind(),
	}
	s.report.Readings = append(s.report.Readings, r)
	fmt.Fprintf(s.progress, "soak: %v of %v: %s MiB in RAM, %s MiB on disk, %s callbacks/s, p99 %s ms, %s events trimmed\n",
		time.Since(s.began).Round(time.Second), s.soakDuration(), figure(r.Resident), figure(r.Disk), figure(r.Posted), figure(r.P99), figure(r.Trimmed))
	return nil
}

// behind is how many events the slowest subscriber has yet to receive.
func (s *soak) behind() float64 {
	posted, most := s.answers.total(), uint64(0)
	for _, one := range s.subscribers {
		most = max(most, posted-min(posted, one.events.Load()))
	}
	return float64(most)
}

// settle waits until subscribers have received everything, and notes what they
// have not.
func (s *soak) settle(ctx context.Context) error {
	p := s.answers.take() // of what came since the last reading
	s.report.NotOK, s.report.Lost = float64(p.refused), float64(p.lost)
	for _, r := range s.report.Readings {
		s.report.NotOK += r.NotOK
		s.report.Lost += r.Lost
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(catchUp); s.behind() > 0 && time.Now().Before(deadline); {
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.report.Accepted = s.answers.total()
	s.report.Fewest = math.MaxUint64
	for _, one := range s.subscribers {
		s.report.Fewest = min(s.report.Fewest, one.events.Load())
		s.report.Gaps += one.gaps.Load()
	}
	return nil
}
