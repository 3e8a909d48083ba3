package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	accounts     = 10_000 // but for scale, which is told how many
	eventTypes   = 40
	payloadBytes = 600
)

// workload makes the records that every contender stores. Records repeat in all
// but their id, so that making one costs next to nothing beside storing it.
type workload struct {
	records []eventlog.Record // one an account
	made    atomic.Uint64
}

// newWorkload makes records of a number of accounts, like those of the product: an account has one phone
// number, and the events of an account have one type, which spares contenders
// that file by account and type a list for each pair.
func newWorkload(accounts uint64) *workload {
	w := &workload{records: make([]eventlog.Record, accounts)}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same payloads in every run
	for i := range w.records {
		w.records[i] = eventlog.Record{
			Header: eventlog.Header{
				Source:        "nxcloud",
				WABAID:        account(uint64(i)),
				WABASource:    eventlog.WABAPayload,
				Type:          fmt.Sprintf("account_update.kind_%d", i%eventTypes),
				BusinessPhone: fmt.Sprintf("49170%07d", i),
				Severity:      eventlog.SeverityInfo,
				OccurTime:     time.Unix(1_760_000_000+int64(i), 0).UTC(),
			},
			Payload: payload(random),
			Horizon: 7 * 24 * time.Hour,
		}
	}
	return w
}

// payload is that of an unrecognized event, so that a server on the log can
// stream it. The numbers are those of the contract; a test holds them against the
// generated code.
func payload(random *rand.Rand) []byte {
	const (
		fieldUnrecognized, fieldJSON = 25, 2
		// One tag is of two bytes, one of one, and both lengths are of two.
		tagsAndLengths = 2 + 2 + 1 + 2
		quotes         = 2
	)
	text := append(append([]byte{'"'}, randomText(random, payloadBytes-tagsAndLengths-quotes)...), '"')
	unrecognized := protowire.AppendBytes(protowire.AppendTag(nil, fieldJSON, protowire.BytesType), text)
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldUnrecognized, protowire.BytesType), unrecognized)
}

// randomText compresses about as badly as ids, numbers and times do.
func randomText(random *rand.Rand, n int) []byte {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return text
}

func account(n uint64) string { return fmt.Sprintf("10000000%07d", n) }

// accountOf says whose of so many accounts the nth record is: they take turns in
// no order.
func accountOf(n, accounts uint64) uint64 { return scramble(n) % accounts }

// record is the nth record. Its id looks like the hash that it stands for.
func (w *workload) record(n uint64) eventlog.Record {
	r := w.records[accountOf(n, uint64(len(w.records)))]
	hash := scramble(n)
	binary.BigEndian.PutUint64(r.ID[:], hash)
	binary.BigEndian.PutUint64(r.ID[8:], scramble(hash))
	binary.BigEndian.PutUint32(r.ID[16:], uint32(n))
	return r
}

// from makes n records, beginning with one.
func (w *workload) from(first, n uint64) []eventlog.Record {
	records := make([]eventlog.Record, n)
	for i := range records {
		records[i] = w.record(first + uint64(i))
	}
	return records
}

// next is a record that was not handed out before.
func (w *workload) next() eventlog.Record { return w.record(w.made.Add(1)) }

// scramble is a bijection that leaves no order (the finalizer of SplitMix64).
func scramble(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
