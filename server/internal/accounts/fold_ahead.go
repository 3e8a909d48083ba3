package accounts

import (
	"bytes"
	"slices"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// keysEach is how many keys most events look at.
const keysEach = 5

// ahead has values of the state that a stretch of records is about to need. They are
// read in the order of their keys, which takes a fraction of what it takes as records
// come.
type ahead struct {
	get    func(key []byte) ([]byte, error)
	values map[string][]byte
}

// read reads what the events look at, as far as they say so by themselves.
func (a *ahead) read(events []event) error {
	keys := make([][]byte, 0, keysEach*len(events))
	for i := range events {
		keys = appendKeys(keys, &events[i])
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	a.values = make(map[string][]byte, len(keys))
	for _, key := range keys {
		value, err := a.get(key)
		if err != nil {
			return err
		}
		a.values[string(key)] = value
	}
	return nil
}

// value returns a value as it was before the events.
func (a *ahead) value(key []byte) ([]byte, error) {
	if value, ok := a.values[string(key)]; ok {
		return value, nil
	}
	return a.get(key)
}

// appendKeys adds the keys that an event looks at. Of one whose payload has no value
// those suffice, as a rule, that tell whether it says anything new.
func appendKeys(keys [][]byte, e *event) [][]byte {
	h := &e.entry.Header
	if !concerns(h.Type) {
		if h.WABAID != "" && h.WABASource == eventlog.WABAPayload && h.BusinessPhone != "" {
			keys = appendPairKeys(keys, e.entry)
		}
		return keys
	}
	if u := e.payload.GetUserPreference(); u != nil && keepsPreference(h, u) {
		keys = append(keys, preferenceKey(h.BusinessPhone, u.GetWaId()))
	}
	if h.WABAID == "" {
		return keys
	}
	keys = append(keys, accountKey(h.WABAID))
	for _, phone := range e.numbersNamed() {
		keys = append(keys, numberKey(h.WABAID, phone), ownerKey(phone), pairKey(h.Source, phone))
	}
	return keys
}

// appendPairKeys adds those of the number in a record's header.
func appendPairKeys(keys [][]byte, entry *eventlog.Entry) [][]byte {
	keys = append(keys, pairKey(entry.Source, entry.BusinessPhone), ownerKey(entry.BusinessPhone))
	if id := numberID(entry.Payload); id != "" {
		keys = append(keys, idPairKey(entry.Source, id))
	}
	return keys
}
