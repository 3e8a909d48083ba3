package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// logSetting is a number of writers, with a table for what is found.
type logSetting struct {
	writers int
	*table
}

func (b *bench) logContenders() []contender {
	return b.wanted([]contender{
		segment(),
		wabastream(),
		replica(),
		jetStreamServer(jetStreamSync, syncEach),
		jetStreamServer(jetStreamAtomic, syncBatches),
		jetStreamServer(jetStreamLazy, lazySync),
		bolt(boltBare, false),
		bolt(boltIndexed, true),
	})
}

func (b *bench) logSettings() []logSetting {
	var settings []logSetting
	for _, writers := range []int{1, 16, 64, 256} {
		title := fmt.Sprintf("log: durable append, %d writers, payload %d bytes", writers, payloadBytes)
		if b.wants(title) {
			t := newTable(title, "appends/s", segmentFile, namesOf(b.logContenders())).wants(appendGoals(writers))
			settings = append(settings, logSetting{writers, t})
		}
	}
	return settings
}

func (b *bench) aboutLog() time.Duration {
	return b.aboutTurns(len(b.logSettings()), len(b.logContenders()))
}

// runLog measures durable appends: each writer waits for its record before it
// appends the next.
func (b *bench) runLog(ctx context.Context) ([]result, error) {
	var tables []result
	for _, setting := range b.logSettings() {
		err := takeTurns(ctx, b, setting.title, b.logContenders(), contenderName, func(c contender) error {
			return b.withStore(ctx, c, func(e engine) error {
				s, err := b.drive(ctx, setting.writers, func(int) (operation, error) { return b.writer(ctx, e), nil })
				setting.addSample(c.name, s)
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, b.withReplica(setting.table, oursOnJetStream)...)
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
