package accounts

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// batch folds a stretch of records. It reads ahead what they touch, keeps it decoded,
// and encodes each once in the end.
type batch struct {
	ahead       ahead
	accounts    table[wabastreamv1.Account, *wabastreamv1.Account]
	numbers     table[wabastreamv1.PhoneNumber, *wabastreamv1.PhoneNumber]
	preferences table[wabastreamv1.MarketingPreference, *wabastreamv1.MarketingPreference]
	pairs       map[string]*pairRow
	// changedAt is where an account was indexed as changed when it was read.
	changedAt map[string]uint64
	changes   eventlog.Changes
	// writes holds the place in changes.Writes of keys that are not rows.
	writes map[string]int
}

type pairRow struct {
	pair
	dirty bool
}

// fold is the projection's.
func fold(get func(key []byte) ([]byte, error), entries []eventlog.Entry) (eventlog.Changes, error) {
	b := &batch{
		ahead: ahead{get: get}, pairs: make(map[string]*pairRow),
		changedAt: make(map[string]uint64), writes: make(map[string]int),
	}
	b.accounts.get, b.numbers.get, b.preferences.get = b.ahead.value, b.ahead.value, b.ahead.value
	events := make([]event, len(entries))
	for i := range entries {
		events[i] = newEvent(&entries[i])
	}
	if err := b.ahead.read(events); err != nil {
		return eventlog.Changes{}, err
	}
	for i := range events {
		if err := b.one(&events[i]); err != nil {
			return eventlog.Changes{}, err
		}
	}
	return b.finish()
}

// one folds one record.
func (b *batch) one(e *event) error {
	if known, err := b.known(e.entry); known || err != nil {
		return err
	}
	if err := b.learn(e); err != nil {
		return err
	}
	if err := b.apply(e); err != nil {
		return err
	}
	if e.stale {
		b.changes.Late++
	}
	return b.note(e)
}

// concerns reports whether a record's payload has a value of the state.
func concerns(typ string) bool {
	field, _, _ := strings.Cut(typ, ".")
	switch field {
	case "account_update", "account_review_update", "phone_number_name_update", "phone_number_quality_update", "user_preferences":
		return true
	}
	return false
}

// known reports whether a record says nothing that the state does not have. That is
// most of message traffic, whose payload is not decoded.
func (b *batch) known(entry *eventlog.Entry) (bool, error) {
	if concerns(entry.Type) {
		return false, nil
	}
	if entry.WABAID == "" {
		return true, nil
	}
	if entry.WABASource != eventlog.WABAPayload || entry.BusinessPhone == "" {
		return false, nil
	}
	for _, key := range appendPairKeys(nil, entry) {
		if p, err := b.pair(key); err != nil || p.waba != entry.WABAID {
			return false, err
		}
	}
	return true, nil
}

// fieldPhoneNumberID is that of Event in event.proto.
const fieldPhoneNumberID = 11

// numberID reads phone_number_id of a payload without decoding the rest: fields stand
// in the order of their numbers.
func numberID(payload []byte) string {
	for len(payload) > 0 {
		field, typ, n := protowire.ConsumeTag(payload)
		if n < 0 || field > fieldPhoneNumberID {
			return ""
		}
		payload = payload[n:]
		if field == fieldPhoneNumberID && typ == protowire.BytesType {
			id, _ := protowire.ConsumeString(payload)
			return id
		}
		n = protowire.ConsumeFieldValue(field, typ, payload)
		if n < 0 {
			return ""
		}
		payload = payload[n:]
	}
	return ""
}

// pair reads a pair once.
func (b *batch) pair(key []byte) (*pairRow, error) {
	if p, ok := b.pairs[string(key)]; ok {
		return p, nil
	}
	value, err := b.ahead.value(key)
	if err != nil {
		return nil, err
	}
	p := &pairRow{pair: decodePair(value)}
	b.pairs[string(key)] = p
	return p, nil
}

// write changes a key that is no row's.
func (b *batch) write(key, value []byte) {
	if i, ok := b.writes[string(key)]; ok {
		b.changes.Writes[i].Value = value
		return
	}
	b.writes[string(key)] = len(b.changes.Writes)
	b.changes.Writes = append(b.changes.Writes, eventlog.Write{Key: key, Value: value})
}

// finish encodes what was touched.
func (b *batch) finish() (eventlog.Changes, error) {
	for waba, row := range b.accounts.rows {
		if row.changed {
			b.index(waba, row.message.GetLastChange().GetSequence())
		}
	}
	for k, p := range b.pairs {
		if p.dirty {
			b.write([]byte(k), p.encode())
		}
	}
	var err error
	add := func(key, value []byte, e error) {
		if e != nil {
			err = fmt.Errorf("encode state: %w", e)
			return
		}
		b.changes.Writes = append(b.changes.Writes, eventlog.Write{Key: key, Value: value})
	}
	b.accounts.encode(add)
	b.numbers.encode(add)
	b.preferences.encode(add)
	return b.changes, err
}

// index moves an account to where it changed last.
func (b *batch) index(rowKey string, seq uint64) {
	was := b.changedAt[rowKey]
	if was == seq {
		return
	}
	waba, _ := cutText([]byte(rowKey)[1:])
	if was != 0 {
		b.write(changedKey(was, waba), nil)
	}
	b.write(changedKey(seq, waba), []byte{})
}

// note keeps what an event changed of accounts and numbers.
func (b *batch) note(e *event) error {
	if len(e.changes) == 0 {
		return nil
	}
	value, err := marshal(&wabastreamv1.AccountChanges{Changes: e.changes})
	if err != nil {
		return fmt.Errorf("encode changes: %w", err)
	}
	b.changes.Notes = append(b.changes.Notes, eventlog.Note{At: e.entry.Position.Sequence, Value: value})
	return nil
}

// marshal writes the same bytes for the same message: the state must not depend on who
// made it.
func marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
