package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// receiver counts what a subscriber receives, and checks its order. It belongs to
// the goroutine that reads, but for the count.
type receiver struct {
	// index is which of the session's subscribers it is.
	index uint64
	// account is whose events it takes; everyone's if it is empty.
	account string
	// decode makes every event a message of the generated types. Without it only
	// the fields that are checked are looked for, in the same bytes of all
	// contenders.
	decode bool
	// observe is called with every event's bytes, unless it is nil; not if decode
	// is set.
	observe func(event []byte)
	// heartbeat is the longest silence asked for, where that can be asked for.
	heartbeat time.Duration
	// gate holds the reader up while it is locked; nil for none.
	gate *sync.Mutex
	// failed takes the first error; later ones may be dropped.
	failed chan<- error

	received atomic.Uint64
	last     uint64 // sequence
}

func (r *receiver) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// failUnless fails for an error that is not just the end of the context.
func (r *receiver) failUnless(ctx context.Context, err error) {
	if err = unless(ctx, err); err != nil {
		r.fail(err)
	}
}

// waitAtGate returns once the reader may go on.
func (r *receiver) waitAtGate() {
	if r.gate != nil {
		r.gate.Lock()
		r.gate.Unlock() //nolint:staticcheck // it holds nobody up itself
	}
}

// take counts one event, which must be later than the last and its account's.
func (r *receiver) take(sequence uint64, isAccounts bool) error {
	if sequence <= r.last {
		return fmt.Errorf("received event %d after %d", sequence, r.last)
	}
	if !isAccounts {
		return fmt.Errorf("received event %d of another account", sequence)
	}
	r.last = sequence
	r.received.Store(r.received.Load() + 1) // nobody else writes it
	return nil
}

func (r *receiver) takeEvent(e *wabastreamv1.Event) error {
	return r.take(e.GetSequence(), r.account == everyone || e.GetWabaId() == r.account)
}

// takeWire takes an event's bytes.
func (r *receiver) takeWire(event []byte) error {
	sequence, account, err := walkEvent(event)
	if err != nil {
		return err
	}
	if r.observe != nil {
		r.observe(event)
	}
	return r.take(sequence, r.account == everyone || string(account) == r.account)
}

var errNotWire = errors.New("read an event: not the contract's encoding")

// walkEvent finds an event's sequence and account without decoding the rest. Its
// fields are written in the order of their numbers. Most that it passes over are
// short texts, for which it has a short way: looking at what was received is part of
// what a delivery costs, whoever sent it, and must not be most of it.
func walkEvent(b []byte) (sequence uint64, account []byte, err error) {
	const fieldSequence, fieldAccount = 3, 8
	for len(b) > 1 {
		number, kind, n := protowire.Number(b[0]>>3), protowire.Type(b[0]&7), 1
		if b[0] >= 1<<7 {
			number, kind, n = protowire.ConsumeTag(b)
		}
		switch {
		case n < 0:
			return 0, nil, errNotWire
		case number > fieldAccount:
			return sequence, account, nil
		}
		b = b[n:]
		switch {
		case number == fieldSequence && kind == protowire.VarintType:
			sequence, n = protowire.ConsumeVarint(b)
		case number == fieldAccount && kind == protowire.BytesType:
			account, n = protowire.ConsumeBytes(b)
		case kind == protowire.BytesType && b[0] < 1<<7 && int(b[0]) < len(b):
			n = 1 + int(b[0])
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return 0, nil, errNotWire
		}
		b = b[n:]
	}
	if len(b) > 0 {
		return 0, nil, errNotWire
	}
	return sequence, account, nil
}

// eachEvent calls take with the bytes of each event in a frame of the stream.
func eachEvent(frame []byte, take func([]byte) error) error {
	const fieldBatch, fieldEvents = 3, 1
	return eachField(frame, fieldBatch, func(batch []byte) error { return eachField(batch, fieldEvents, take) })
}

// eachField calls visit with the content of each field of a number, which is of
// bytes, and passes over all others.
func eachField(b []byte, wanted protowire.Number, visit func([]byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errNotWire
		}
		b = b[n:]
		if number != wanted || kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return errNotWire
			}
			b = b[n:]
			continue
		}
		content, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return errNotWire
		}
		if err := visit(content); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
