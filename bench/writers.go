package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"golang.org/x/sync/errgroup"
)

// writerCount is how many writers append side by side.
const writerCount = 64

// writers append the records of a workload, each record by itself and each writer
// waiting for its own, as callbacks do.
type writers struct {
	log  engine
	load *workload
	end  uint64 // records before this one are appended

	next atomic.Uint64 // record appended next; begins where it is set to
}

// run returns once every record is durable, or with the first error.
func (w *writers) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range writerCount {
		group.Go(func() error { return w.write(ctx) })
	}
	return group.Wait()
}

func (w *writers) write(ctx context.Context) error {
	records := make([]eventlog.Record, 1)
	for {
		n := w.next.Add(1) - 1
		if n >= w.end {
			return nil
		}
		records[0] = w.load.record(n)
		if _, err := w.log.Append(ctx, records); err != nil {
			return err
		}
	}
}

// done is how many records were taken so far.
func (w *writers) done() uint64 { return min(w.next.Load(), w.end) }

// telling prints a line every few seconds until the function returned is called,
// which waits for the last one.
func telling(progress io.Writer, line func() string) (stop func()) {
	ticker := time.NewTicker(5 * time.Second)
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ticker.C:
				fmt.Fprintln(progress, line())
			case <-stopping:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(stopping)
		<-stopped
	}
}
