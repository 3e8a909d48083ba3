package accounts

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// memory is a state in memory, and the events that it is made of.
type memory struct {
	*testing.T
	keys    map[string][]byte
	notes   []eventlog.Note
	entries []eventlog.Entry
	now     time.Time
}

func newMemory(t *testing.T) *memory {
	t.Helper()
	return &memory{T: t, keys: make(map[string][]byte), now: time.Unix(1_800_000_000, 0).UTC()}
}

func (m *memory) get(key []byte) ([]byte, error) { return bytes.Clone(m.keys[string(key)]), nil }

// fold folds entries in one call.
func (m *memory) fold(entries ...eventlog.Entry) {
	m.Helper()
	changes, err := fold(m.get, entries)
	require.NoError(m, err)
	seen := make(map[string]bool)
	for _, w := range changes.Writes {
		require.False(m, seen[string(w.Key)], "a key is written once: %q", w.Key)
		seen[string(w.Key)] = true
		if w.Value == nil {
			delete(m.keys, string(w.Key))
			continue
		}
		m.keys[string(w.Key)] = w.Value
	}
	m.notes = append(m.notes, changes.Notes...)
}

// post folds what a callback of source a is stored as, and returns its changes.
func (m *memory) post(body string) []*wabastreamv1.AccountChange {
	m.Helper()
	return m.postTo("a", body)
}

func (m *memory) postTo(source, body string) []*wabastreamv1.AccountChange {
	m.Helper()
	before := len(m.notes)
	for _, e := range m.entriesOf(source, body) {
		m.fold(e)
	}
	return m.changesSince(before)
}

func (m *memory) changesSince(n int) []*wabastreamv1.AccountChange {
	m.Helper()
	var all []*wabastreamv1.AccountChange
	for _, note := range m.notes[n:] {
		changes := new(wabastreamv1.AccountChanges)
		require.NoError(m, proto.Unmarshal(note.Value, changes))
		all = append(all, changes.GetChanges()...)
	}
	return all
}

// entriesOf are the records of a callback, at the end of the log.
func (m *memory) entriesOf(source, body string) []eventlog.Entry {
	m.Helper()
	events, err := translate.Callback(source, []byte(body))
	require.NoError(m, err)
	m.now = m.now.Add(time.Millisecond)
	var out []eventlog.Entry
	for _, e := range events {
		payload, err := marshal(e.Payload)
		require.NoError(m, err)
		entry := eventlog.Entry{Position: eventlog.Position{Sequence: eventlog.Sequence(len(m.entries) + 1)}, AppendTime: m.now}
		entry.Header = eventlog.Header{
			ID: e.ID, Source: source, WABAID: e.WABAID, Type: e.Type, OccurTime: e.OccurTime,
			BusinessPhone: eventlog.NormalizePhone(e.BusinessPhone),
		}
		entry.Payload = payload
		entry.WABAID, entry.WABASource = m.attributed(&entry.Header)
		m.entries = append(m.entries, entry)
		out = append(out, entry)
	}
	return out
}

func (m *memory) attributed(h *eventlog.Header) (string, eventlog.WABASource) {
	if h.WABAID != "" {
		return h.WABAID, eventlog.WABAPayload
	}
	if p := decodePair(m.keys[string(pairKey(h.Source, h.BusinessPhone))]); p.waba != "" {
		return p.waba, eventlog.WABALearned
	}
	return "", eventlog.WABAUnknown
}

func (m *memory) account() *wabastreamv1.Account {
	m.Helper()
	return stored(m, accountKey("1"), new(wabastreamv1.Account))
}

func (m *memory) number(waba, phone string) *wabastreamv1.PhoneNumber {
	m.Helper()
	return stored(m, numberKey(waba, phone), new(wabastreamv1.PhoneNumber))
}

func (m *memory) preference(phone, person string) *wabastreamv1.MarketingPreference {
	m.Helper()
	return stored(m, preferenceKey(phone, person), new(wabastreamv1.MarketingPreference))
}

func stored[M proto.Message](m *memory, key []byte, into M) M {
	m.Helper()
	value, ok := m.keys[string(key)]
	require.True(m, ok, "no %q", key)
	require.NoError(m, proto.Unmarshal(value, into))
	return into
}

// dump is the whole state as text.
func (m *memory) dump() string {
	var out bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		fmt.Fprintf(&out, "%q %x\n", key, m.keys[key])
	}
	for _, note := range m.notes {
		fmt.Fprintf(&out, "note %d %x\n", note.At, note.Value)
	}
	return out.String()
}

// again folds the same entries into an empty state, divided at random.
func (m *memory) again(random *rand.Rand) *memory {
	m.Helper()
	other := newMemory(m.T)
	for rest := m.entries; len(rest) > 0; {
		n := 1 + random.IntN(min(len(rest), 40))
		other.fold(rest[:n]...)
		rest = rest[n:]
	}
	return other
}
