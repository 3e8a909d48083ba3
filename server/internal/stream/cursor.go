package stream

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// A token is a place in the log as a client holds it: 24 bytes, so that base64
// gives exactly 32 URL-safe characters and no padding.
//
//	kind 1 | log id 8 | sequence 8 | fingerprint 4 | checksum 3
//
// The kinds are chosen so that the first character tells them apart for people:
// a cursor begins with "c", page tokens with "d" and "e". The checksum tells a
// mistyped token from one of another log.
type token struct {
	kind tokenKind
	at   eventlog.Position
	// held is given to readers that take what is still held, and are not told of
	// types that were trimmed: whoever resumes is one too. It is the lowest bit of
	// the kind's byte.
	held bool
}

type tokenKind byte

const (
	kindCursor      tokenKind = 0x70
	kindNewestFirst tokenKind = 0x74
	kindOldestFirst tokenKind = 0x78

	heldBit = 0x01

	tokenBytes = 24
	tokenChars = 32
)

var errTokenMalformed = errors.New("malformed token")

// cursorOf is the cursor of a reader that is told of everything that is missing
// after the position.
func cursorOf(p eventlog.Position) string { return token{kind: kindCursor, at: p}.String() }

// String returns the token as clients hold it.
func (t token) String() string {
	var b [tokenBytes]byte
	b[0] = byte(t.kind)
	if t.held {
		b[0] |= heldBit
	}
	copy(b[1:9], t.at.Log[:])
	binary.BigEndian.PutUint64(b[9:17], uint64(t.at.Sequence))
	binary.BigEndian.PutUint32(b[17:21], t.at.Fingerprint)
	sum := tokenChecksum(b[:21])
	copy(b[21:], sum[:])
	var text [tokenChars]byte
	base64.RawURLEncoding.Encode(text[:], b[:])
	return string(text[:])
}

func parseToken(kind tokenKind, s string) (token, error) {
	if len(s) != tokenChars {
		return token{}, errTokenMalformed
	}
	var b [tokenBytes]byte
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(s)); err != nil || n != tokenBytes {
		return token{}, errTokenMalformed
	}
	if b[0]&^heldBit != byte(kind) || tokenChecksum(b[:21]) != [3]byte(b[21:]) {
		return token{}, errTokenMalformed
	}
	t := token{kind: kind, held: b[0]&heldBit != 0}
	copy(t.at.Log[:], b[1:9])
	t.at.Sequence = eventlog.Sequence(binary.BigEndian.Uint64(b[9:17]))
	t.at.Fingerprint = binary.BigEndian.Uint32(b[17:21])
	return t, nil
}

func tokenChecksum(b []byte) [3]byte {
	sum := crc32.ChecksumIEEE(b)
	return [3]byte{byte(sum >> 16), byte(sum >> 8), byte(sum)}
}
