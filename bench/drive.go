package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// operation is what one worker does again and again, and what it does in the end.
type operation struct {
	run, end func() error
}

// sample is what one turn found.
type sample struct {
	perSecond float64
	cpuMicros float64 // of all workers and the contender, each operation
}

func (t *table) addSample(name string, s sample) {
	r := t.row(name)
	r.values = append(r.values, s.perSecond)
	if s.cpuMicros > 0 {
		r.cpu = append(r.cpu, s.cpuMicros)
	}
}

// durations are how long workers run before they are measured, and how long
// after that.
func (b *bench) durations() (warm, measured time.Duration) {
	if b.quick {
		return 200 * time.Millisecond, 800 * time.Millisecond
	}
	return 500 * time.Millisecond, 3 * time.Second
}

// drive runs a number of workers in parallel and counts what they get done.
func (b *bench) drive(ctx context.Context, workers int, start func(worker int) (operation, error)) (sample, error) {
	var (
		count atomic.Uint64
		stop  atomic.Bool
		all   sync.WaitGroup
	)
	failed := make(chan error, 2*workers)
	for i := range workers {
		op, err := start(i)
		if err != nil {
			stop.Store(true)
			all.Wait()
			return sample{}, err
		}
		all.Go(func() {
			for !stop.Load() {
				if err := op.run(); err != nil {
					failed <- err
					break
				}
				count.Add(1)
			}
			if err := op.end(); err != nil {
				failed <- err
			}
		})
	}
	s, err := b.observe(ctx, &count, failed)
	stop.Store(true)
	all.Wait()
	close(failed)
	for later := range failed {
		err = errors.Join(err, later)
	}
	return s, err
}

// observe lets the workers warm up, and then measures. Only what every worker
// still takes part in counts: the first error ends it.
func (b *bench) observe(ctx context.Context, count *atomic.Uint64, failed <-chan error) (sample, error) {
	warm, measured := b.durations()
	if err := wait(ctx, warm, failed); err != nil {
		return sample{}, err
	}
	startCount, startCPU, start := count.Load(), cpuTime(), time.Now()
	if err := wait(ctx, measured, failed); err != nil {
		return sample{}, err
	}
	n, cpu, took := float64(count.Load()-startCount), cpuTime()-startCPU, time.Since(start)
	if n == 0 {
		return sample{}, errors.New("nothing got done in the time measured")
	}
	return sample{perSecond: n / took.Seconds(), cpuMicros: micros(cpu) / n}, nil
}

func wait(ctx context.Context, d time.Duration, failed <-chan error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
