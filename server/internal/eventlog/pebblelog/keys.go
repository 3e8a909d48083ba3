package pebblelog

import (
	"encoding/binary"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Every key begins with a byte that says what it is. The layout is part of the
// stored format.
//
//	m <name>                         what the store is; see meta.go
//	r <sequence>                     record
//	r <sequence> 0                   gap of records removed up to there; see gap.go
//	d <id>                           newest record with the id, for duplicates
//	w <waba> 0 1 <sequence>          records of a WABA; the empty one is "unknown"
//	p <business phone> 0 1 <sequence>
//	t <type> 0 1 <sequence>
//	s <name> 0 ...                   the state of a projection; see state.go
//
// The values of index keys are empty, except those of types: there it is the size of
// the stored record (uvarint), or nothing if format 1 has written it.
//
// Sequences are 8 bytes, big-endian, so that keys sort in log order. A zero byte
// inside a text is written 0 255, so that no text is a prefix of another one and
// the range of one text holds nothing else.
const (
	metaKind   = 'm'
	recordKind = 'r'
	idKind     = 'd'
	wabaKind   = 'w'
	phoneKind  = 'p'
	typeKind   = 't'
)

const sequenceBytes = 8

func appendSequence(key []byte, seq eventlog.Sequence) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(seq))
}

func recordKey(seq eventlog.Sequence) []byte {
	return appendSequence([]byte{recordKind}, seq)
}

func idKey(id eventlog.ID) []byte {
	return append([]byte{idKind}, id[:]...)
}

func appendEscaped(key []byte, text string) []byte {
	for i := range len(text) {
		key = append(key, text[i])
		if text[i] == 0 {
			key = append(key, 255)
		}
	}
	return key
}

// appendIndexPrefix begins the keys of one text in an index.
func appendIndexPrefix(key []byte, kind byte, text string) []byte {
	return append(appendEscaped(append(key, kind), text), 0, 1)
}

func indexKey(kind byte, text string, seq eventlog.Sequence) []byte {
	key := make([]byte, 0, len(text)+3+sequenceBytes)
	return appendSequence(appendIndexPrefix(key, kind, text), seq)
}

// indexTexts are what a record is found by besides its id. Records without a
// business phone are not found by it.
func indexTexts(h *eventlog.Header) iter.Seq2[byte, string] {
	return func(yield func(byte, string) bool) {
		_ = yield(wabaKind, h.WABAID) && yield(typeKind, h.Type) && h.BusinessPhone != "" && yield(phoneKind, h.BusinessPhone)
	}
}

func deleteIndexKeys(batch *pebble.Batch, h *eventlog.Header, seq eventlog.Sequence) error {
	for kind, text := range indexTexts(h) {
		if err := batch.Delete(indexKey(kind, text, seq), nil); err != nil {
			return err
		}
	}
	return nil
}

// afterText is the first key behind all keys of the text that prefix begins.
func afterText(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1] = 2
	return end
}

// sequenceOf reads the sequence of a record key, a gap's or an index key.
func sequenceOf(key []byte) eventlog.Sequence {
	if isGap(key) {
		key = key[:len(key)-1]
	}
	return eventlog.Sequence(binary.BigEndian.Uint64(key[len(key)-sequenceBytes:]))
}
