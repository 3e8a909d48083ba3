package main

import (
	"context"
	"encoding/binary"
	"hash/crc32"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// engine stores records. Append returns once they are as durable as the engine
// makes them.
type engine interface {
	Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error)
	Close() error
}

// contender is an engine that takes part.
type contender struct {
	name string
	open func(ctx context.Context, dir string) (engine, error)
}

func contenderName(c contender) string { return c.name }

func namesOf(contenders []contender) []string {
	names := make([]string, len(contenders))
	for i, c := range contenders {
		names[i] = c.name
	}
	return names
}

// Names of contenders. They say what a contender does not do where that matters
// to a comparison.
const (
	ours            = "wabastream"
	segmentFile     = "segment file"
	jetStreamSync   = "JetStream sync"
	jetStreamAtomic = "JetStream sync, atomic batches"
	jetStreamLazy   = "JetStream lazy (not durable)"
	oursOnJetStream = "wabastream on JetStream sync"
	boltBare        = "bbolt, records only"
	boltIndexed     = "bbolt, same features"
)

func wabastream() contender {
	return contender{ours, func(ctx context.Context, dir string) (engine, error) { return openLog(ctx, dir) }}
}

// openLog opens the product's log as its server does.
func openLog(ctx context.Context, dir string) (*pebblelog.Log, error) {
	return pebblelog.Open(ctx, dir, pebblelog.Options{})
}

func segment() contender {
	return contender{segmentFile, func(_ context.Context, dir string) (engine, error) { return openSegment(dir) }}
}

func bolt(name string, features bool) contender {
	return contender{name, func(_ context.Context, dir string) (engine, error) { return openBolt(dir, features) }}
}

func jetStreamServer(name string, m jetStreamMode) contender {
	return contender{name, func(ctx context.Context, dir string) (engine, error) { return openJetStream(ctx, dir, m) }}
}

// encode is how contenders without headers of their own store a record. It is
// preceded by its length and a checksum.
func encode(b []byte, r *eventlog.Record) []byte {
	const prefix = 8
	start := len(b)
	b = append(b, make([]byte, prefix)...)
	b = append(b, r.ID[:]...)
	b = append(b, byte(r.Severity), byte(r.WABASource))
	b = binary.AppendVarint(b, r.OccurTime.UnixMicro())
	b = binary.AppendVarint(b, r.Horizon.Microseconds())
	for _, text := range []string{r.Source, r.WABAID, r.Type, r.BusinessPhone} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	for _, bytes := range [][]byte{r.Payload, r.Raw} {
		b = append(binary.AppendUvarint(b, uint64(len(bytes))), bytes...)
	}
	body := b[start+prefix:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// encodeAll encodes each record by itself.
func encodeAll(records []eventlog.Record) [][]byte {
	encoded := make([][]byte, len(records))
	for i := range records {
		r := &records[i]
		encoded[i] = encode(make([]byte, 0, len(r.Payload)+len(r.Raw)+128), r)
	}
	return encoded
}

// stored answers for new records; where they stand is not told.
func stored(records []eventlog.Record, err error) ([]eventlog.Appended, error) {
	if err != nil {
		return nil, err
	}
	return make([]eventlog.Appended, len(records)), nil
}
