package main

import (
	"context"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// runLog measures durable appends: each writer waits for its record before it
// appends the next.
func (b *bench) runLog(ctx context.Context) ([]*table, error) {
	contenders := b.wanted([]contender{
		segment(),
		wabastream(),
		jetStreamServer(jetStreamSync, syncEach),
		jetStreamServer(jetStreamAtomic, syncBatches),
		jetStreamServer(jetStreamLazy, lazySync),
		bolt(boltBare, false),
		bolt(boltIndexed, true),
	})
	var tables []*table
	for _, writers := range []int{1, 16, 64, 256} {
		title := fmt.Sprintf("log: durable append, %d writers, payload %d bytes", writers, payloadBytes)
		if !b.wants(title) {
			continue
		}
		t := newTable(title, "appends/s", segmentFile, namesOf(contenders))
		err := takeTurns(ctx, b, title, contenders, contenderName, func(c contender) error {
			return b.withStore(ctx, c, func(e engine) error {
				s, err := b.drive(ctx, writers, func(int) (operation, error) { return b.writer(ctx, e), nil })
				t.addSample(c.name, s)
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func (b *bench) writer(ctx context.Context, e engine) operation {
	records := make([]eventlog.Record, 1)
	return operation{
		run: func() error {
			records[0] = b.load.next()
			_, err := e.Append(ctx, records)
			return err
		},
		end: func() error { return nil },
	}
}
