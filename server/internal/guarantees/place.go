package guarantees

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// place is what a cursor says. No client looks into one: they are opaque to
// everybody but the server and its tests.
type place struct {
	log      string
	sequence uint64
	// fingerprint is of the record there; zero where it is not known.
	fingerprint uint32
	// held says that whoever resumes here takes what is still held, and is not told
	// of types that are gone.
	held bool
}

const cursorBytes = 24

func placeOf(cursor string) (place, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) != cursorBytes {
		return place{}, fmt.Errorf("%q is not a cursor", cursor)
	}
	return place{
		log:         hex.EncodeToString(b[1:9]),
		sequence:    binary.BigEndian.Uint64(b[9:17]),
		fingerprint: binary.BigEndian.Uint32(b[17:21]),
		held:        b[0]&1 != 0,
	}, nil
}

// SequenceOf returns the sequence that a cursor stands at: everything up to it was
// sent or did not match.
func SequenceOf(cursor string) (uint64, error) {
	p, err := placeOf(cursor)
	return p.sequence, err
}
