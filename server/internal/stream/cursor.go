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
type tokenKind byte

const (
	kindCursor      tokenKind = 0x70
	kindNewestFirst tokenKind = 0x74
	kindOldestFirst tokenKind = 0x78

	tokenBytes = 24
	tokenChars = 32
)

var errTokenMalformed = errors.New("malformed token")

func cursorOf(p eventlog.Position) string {
	var text [tokenChars]byte
	putToken(&text, kindCursor, p)
	return string(text[:])
}

func pageTokenOf(kind tokenKind, p eventlog.Position) string {
	var text [tokenChars]byte
	putToken(&text, kind, p)
	return string(text[:])
}

func putToken(text *[tokenChars]byte, kind tokenKind, p eventlog.Position) {
	var b [tokenBytes]byte
	b[0] = byte(kind)
	copy(b[1:9], p.Log[:])
	binary.BigEndian.PutUint64(b[9:17], uint64(p.Sequence))
	binary.BigEndian.PutUint32(b[17:21], p.Fingerprint)
	sum := tokenChecksum(b[:21])
	copy(b[21:], sum[:])
	base64.RawURLEncoding.Encode(text[:], b[:])
}

func parseToken(kind tokenKind, s string) (eventlog.Position, error) {
	var p eventlog.Position
	if len(s) != tokenChars {
		return p, errTokenMalformed
	}
	var b [tokenBytes]byte
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(s)); err != nil || n != tokenBytes {
		return p, errTokenMalformed
	}
	if b[0] != byte(kind) || tokenChecksum(b[:21]) != [3]byte(b[21:]) {
		return p, errTokenMalformed
	}
	copy(p.Log[:], b[1:9])
	p.Sequence = eventlog.Sequence(binary.BigEndian.Uint64(b[9:17]))
	p.Fingerprint = binary.BigEndian.Uint32(b[17:21])
	return p, nil
}

func tokenChecksum(b []byte) [3]byte {
	sum := crc32.ChecksumIEEE(b)
	return [3]byte{byte(sum >> 16), byte(sum >> 8), byte(sum)}
}
