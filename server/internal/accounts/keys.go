package accounts

import (
	"encoding/binary"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// The keys of the state. Each begins with a letter that says what it is; texts are
// escaped and ended, so that none is the beginning of another. This is stored: a change
// needs another Version.
//
//	a <waba>                    Account
//	c <sequence> <waba>         nothing: the account changed last there
//	n <waba> <phone>            PhoneNumber
//	i <phone> <waba>            nothing: the account has, or had, the number
//	l <source> <phone>          pair: the account that a number belongs to, by what events of
//	                            a source say; of no source, by the newest of any
//	k <source> <number id>      pair: the same by Meta's id of the number
//	p <phone> <person>          MarketingPreference
//	o <phone> <sequence>        the person, whose last choice, made there, is to stop
const (
	accountKind    = 'a'
	changedKind    = 'c'
	numberKind     = 'n'
	inAccountKind  = 'i'
	pairKind       = 'l'
	idPairKind     = 'k'
	preferenceKind = 'p'
	optOutKind     = 'o'
)

func key(kind byte, texts ...string) []byte {
	size := 1
	for _, text := range texts {
		size += len(text) + 2
	}
	out := append(make([]byte, 0, size), kind)
	for _, text := range texts {
		out = appendText(out, text)
	}
	return out
}

// appendText ends a text with 0 1, and writes a zero inside it as 0 255.
func appendText(key []byte, text string) []byte {
	for i := range len(text) {
		key = append(key, text[i])
		if text[i] == 0 {
			key = append(key, 255)
		}
	}
	return append(key, 0, 1)
}

// cutText reads what appendText wrote, and returns what follows.
func cutText(key []byte) (text string, rest []byte) {
	var out []byte
	for i := 0; i+1 < len(key); i++ {
		if key[i] != 0 {
			out = append(out, key[i])
			continue
		}
		if key[i+1] == 1 {
			return string(out), key[i+2:]
		}
		out = append(out, 0)
		i++ // the 255
	}
	return string(out), nil
}

func accountKey(waba string) []byte                { return key(accountKind, waba) }
func numberKey(waba, phone string) []byte          { return key(numberKind, waba, phone) }
func inAccountKey(phone, waba string) []byte       { return key(inAccountKind, phone, waba) }
func pairKey(source, phone string) []byte          { return key(pairKind, source, phone) }
func ownerKey(phone string) []byte                 { return pairKey("", phone) }
func idPairKey(source, numberID string) []byte     { return key(idPairKind, source, numberID) }
func preferenceKey(phone, person string) []byte    { return key(preferenceKind, phone, person) }
func changedKey(seq uint64, waba string) []byte    { return appendText(changedFrom(seq), waba) }
func optOutKey(phone string, seq uint64) []byte    { return appendSequence(key(optOutKind, phone), seq) }
func changedFrom(seq uint64) []byte                { return appendSequence([]byte{changedKind}, seq) }
func appendSequence(key []byte, seq uint64) []byte { return binary.BigEndian.AppendUint64(key, seq) }

// sequenceBytes is what appendSequence writes.
const sequenceBytes = 8

// behind is the first key behind all that begin with the prefix.
func behind(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++ // ends with a kind, which is a letter, or the 1 of a text
	return end
}

// pair is which account a number belongs to.
type pair struct {
	waba string
	// at is the provider's time of the event that said so first; zero if it had none.
	at time.Time
}

func (p pair) encode() []byte {
	var nanos int64
	if !p.at.IsZero() {
		nanos = p.at.UnixNano()
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(nanos)), p.waba...)
}

// decodePair reads what encode wrote; the zero pair of nothing.
func decodePair(b []byte) pair {
	if len(b) < sequenceBytes {
		return pair{}
	}
	p := pair{waba: string(b[sequenceBytes:])}
	if nanos := int64(binary.BigEndian.Uint64(b)); nanos != 0 {
		p.at = time.Unix(0, nanos)
	}
	return p
}

// positionOf is the place in the log that something came from.
func positionOf(log eventlog.LogID, p *wabastreamv1.Provenance) eventlog.Position {
	at := eventlog.Position{Log: log, Sequence: eventlog.Sequence(p.GetSequence())}
	if id, err := eventlog.ParseID(p.GetEventId()); err == nil { // it was written by fold
		at.Fingerprint = eventlog.FingerprintOf(id, p.GetReceiveTime().AsTime())
	}
	return at
}
