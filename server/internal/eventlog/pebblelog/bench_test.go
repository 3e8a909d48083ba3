package pebblelog_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// benchRecord is a record of about 600 bytes, of one of 10,000 accounts.
func benchRecord(n uint64) eventlog.Record {
	random := rand.New(rand.NewPCG(n, 7))
	account := random.IntN(10_000)
	payload := make([]byte, 480)
	for i := 0; i < len(payload); i += 8 {
		binary.LittleEndian.PutUint64(payload[i:], random.Uint64()&0x3f3f3f3f3f3f3f3f)
	}
	r := eventlog.Record{
		Header: eventlog.Header{
			Source:        "nxcloud",
			WABAID:        fmt.Sprintf("10000000%07d", account),
			WABASource:    eventlog.WABAPayload,
			Type:          fmt.Sprintf("account_update.kind_%d", account%40),
			BusinessPhone: fmt.Sprintf("49170%07d", account),
			Severity:      eventlog.SeverityInfo,
		},
		Payload: payload,
		Horizon: time.Hour,
	}
	binary.LittleEndian.PutUint64(r.ID[:], random.Uint64())
	binary.LittleEndian.PutUint64(r.ID[8:], n)
	return r
}

// BenchmarkAppend measures durable appends a second, and the same of a bare
// segment file, which is as fast as a log can be on this disk.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d/segment", writers), func(b *testing.B) {
			benchmarkAppend(b, writers, openSegment(b))
		})
		b.Run(fmt.Sprintf("writers=%d/pebblelog", writers), func(b *testing.B) {
			log, err := pebblelog.Open(b.Context(), b.TempDir(), pebblelog.Options{})
			require.NoError(b, err)
			defer func() { require.NoError(b, log.Close()) }()
			benchmarkAppend(b, writers, func(r eventlog.Record) error {
				_, err := log.Append(context.Background(), []eventlog.Record{r})
				return err
			})
		})
	}
}

func benchmarkAppend(b *testing.B, writers int, write func(eventlog.Record) error) {
	b.Helper()
	records := make([]eventlog.Record, b.N)
	for i := range records {
		records[i] = benchRecord(uint64(i))
	}
	share := make(chan eventlog.Record, b.N)
	for _, r := range records {
		share <- r
	}
	close(share)
	b.ResetTimer()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for r := range share {
				if err := write(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// openSegment opens a segment file: records with a checksum, one write and one
// sync for all writers that wait.
func openSegment(b *testing.B) func(eventlog.Record) error {
	b.Helper()
	f, err := vfs.Default.Create(filepath.Join(b.TempDir(), "segment"), vfs.WriteCategoryUnspecified)
	require.NoError(b, err)
	type group struct {
		data []byte
		done chan struct{}
		err  error
	}
	var mu sync.Mutex
	waiting := &group{done: make(chan struct{})}
	ready := make(chan struct{}, 1)
	var writer sync.WaitGroup
	writer.Go(func() {
		for range ready {
			mu.Lock()
			g := waiting
			waiting = &group{done: make(chan struct{})}
			mu.Unlock()
			if len(g.data) > 0 {
				if _, g.err = f.Write(g.data); g.err == nil {
					g.err = f.SyncData()
				}
			}
			close(g.done)
		}
	})
	b.Cleanup(func() {
		close(ready)
		writer.Wait()
		require.NoError(b, f.Close())
	})
	return func(r eventlog.Record) error {
		sum := crc32.Checksum(r.Payload, crc32.MakeTable(crc32.Castagnoli))
		mu.Lock()
		g := waiting
		g.data = binary.LittleEndian.AppendUint32(g.data, sum)
		g.data = append(g.data, r.ID[:]...)
		g.data = append(append(append(g.data, r.WABAID...), r.Type...), r.BusinessPhone...)
		g.data = append(g.data, r.Payload...)
		mu.Unlock()
		select {
		case ready <- struct{}{}:
		default:
		}
		<-g.done
		return g.err
	}
}

// BenchmarkReadWABA reads the 200 or so records of one account among 2 million,
// a different account each time, and reports the median.
func BenchmarkReadWABA(b *testing.B) {
	log, err := pebblelog.Open(b.Context(), b.TempDir(), pebblelog.Options{})
	require.NoError(b, err)
	defer func() { require.NoError(b, log.Close()) }()
	fillForBench(b, log, 2_000_000)
	var took []time.Duration
	found, account := 0, 0
	for b.Loop() {
		start := time.Now()
		account = (account + 7919) % 10_000
		f := eventlog.Filter{WABAIDs: []string{fmt.Sprintf("10000000%07d", account)}}
		page, err := log.Read(b.Context(), eventlog.Query{Filter: eventlog.NewMatcher([]eventlog.Filter{f})})
		require.NoError(b, err)
		found += len(page.Entries)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(found)/float64(len(took)), "records/op")
}

func fillForBench(b *testing.B, log *pebblelog.Log, total uint64) {
	b.Helper()
	const call = 500
	for n := uint64(0); n < total; n += call {
		records := make([]eventlog.Record, call)
		for i := range records {
			records[i] = benchRecord(n + uint64(i))
		}
		_, err := log.Append(b.Context(), records)
		require.NoError(b, err)
	}
}
