package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// streamedBytes is about what an event takes on the wire in the benchmarks of
	// the stream; a test holds it against the contract's encoding.
	streamedBytes = 300
	// streamedText is the length of the JSON text that makes it so.
	streamedText = 125
	// streamedType and streamedSource are those of every event.
	streamedType   = "account_update.disabled_update"
	streamedSource = "nxcloud"
)

// rotation says whose events are published: accounts take turns.
type rotation struct {
	First    uint64 `json:"first"`
	Accounts uint64 `json:"accounts"`
}

// streamLoad makes the events of the stream's benchmarks: as records for the
// product's log, and as the contract's messages for everybody else. Both have the
// same fields, and the same length to within a few bytes.
type streamLoad struct {
	rotation
	text  []byte
	phone string
}

func newStreamLoad(r rotation) *streamLoad {
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // the same text in every run
	text := append(append([]byte{'"'}, randomText(random, streamedText)...), '"')
	return &streamLoad{rotation: r, text: text, phone: "491700000000"}
}

func (l *streamLoad) account(n uint64) string { return account(l.First + n%l.Accounts) }

// idOf is that of the nth event.
func idOf(n uint64) (id eventlog.ID) {
	hash := scramble(n)
	for i := range id {
		id[i] = byte(hash >> (i % 8 * 8))
	}
	for i := range 4 {
		id[i+16] = byte(n >> (i * 8))
	}
	return id
}

// record is the nth event for the log.
func (l *streamLoad) record(n uint64) eventlog.Record {
	const fieldUnrecognized, fieldJSON = 25, 2
	unrecognized := protowire.SizeTag(fieldJSON) + protowire.SizeBytes(len(l.text))
	payload := make([]byte, 0, unrecognized+4)
	payload = protowire.AppendTag(payload, fieldUnrecognized, protowire.BytesType)
	payload = protowire.AppendVarint(payload, uint64(unrecognized))
	payload = protowire.AppendTag(payload, fieldJSON, protowire.BytesType)
	payload = protowire.AppendBytes(payload, l.text)
	return eventlog.Record{
		Header: eventlog.Header{
			ID: idOf(n), Source: streamedSource, WABAID: l.account(n), WABASource: eventlog.WABAPayload,
			Type: streamedType, BusinessPhone: l.phone, Severity: eventlog.SeverityCritical,
			OccurTime: occurTime(n),
		},
		Payload: payload,
		Horizon: 7 * 24 * time.Hour,
	}
}

func (l *streamLoad) records(first, n uint64) []eventlog.Record {
	records := make([]eventlog.Record, n)
	for i := range records {
		records[i] = l.record(first + uint64(i))
	}
	return records
}

// event is the nth event as the contract has it. Sequences begin with one.
func (l *streamLoad) event(n uint64) *wabastreamv1.Event {
	return &wabastreamv1.Event{
		Id:            idOf(n).String(),
		Cursor:        fmt.Sprintf("c%031d", n),
		Sequence:      n + 1,
		Type:          streamedType,
		Severity:      wabastreamv1.Severity_SEVERITY_CRITICAL,
		Source:        streamedSource,
		WabaId:        l.account(n),
		WabaIdSource:  wabastreamv1.WabaIdSource_WABA_ID_SOURCE_PAYLOAD,
		BusinessPhone: l.phone,
		OccurTime:     timestamppb.New(occurTime(n)),
		ReceiveTime:   timestamppb.Now(),
		Payload:       &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Json: string(l.text)}},
	}
}

func occurTime(n uint64) time.Time { return time.Unix(1_760_000_000+int64(n%1_000_000), 0).UTC() }
