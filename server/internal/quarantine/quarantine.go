// Package quarantine keeps authentic callbacks that could not be made into events,
// so that they can be looked at, and put in again once the cause is mended.
//
// It guarantees:
//   - What Put returned for without error survives a crash.
//   - The same content of one source is kept once, however often it is delivered.
//   - It holds no more than its limits, and on disk the one that is being written: the
//     oldest make room, and are counted.
//   - Files are readable by the owner of the process only, and no error, log line
//     or metric shows what is in them.
//
// It does not know whether a callback is authentic: whoever calls Put does. It
// takes the folder to be its own, which the lock on the log's folder ensures.
package quarantine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"
)

// The errors of this package, and those that a new attempt at a callback ends with.
var (
	// ErrNotFound says that no callback with the id is held: it was put in again,
	// or made room for newer ones.
	ErrNotFound = errors.New("no such callback in the quarantine")
	// ErrUnreadable says that a callback still cannot be made into events.
	ErrUnreadable = errors.New("callback still cannot be read")
	// ErrNoSource says that a callback's source is not configured any more.
	ErrNoSource = errors.New("source is not configured")
)

// Entry is what is known of a callback without its body.
type Entry struct {
	// ID identifies the callback by its source and its body: 32 characters of 0-9
	// and a-f.
	ID string
	// Source names the configured application that it came to.
	Source string
	// ReceiveTime is when it came first, by this server's clock.
	ReceiveTime time.Time
	// Reason is why it could not be made into events. It quotes nothing of the
	// body.
	Reason string
	// Size is the length of the body in bytes.
	Size int64
}

// Callback is an entry with the body, as received.
type Callback struct {
	Entry
	Body []byte
}

// idOf makes an id that cannot be guessed without the content.
func idOf(source string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(source)) // of a-z, 0-9, "_" and "-", so that a zero byte ends it
	h.Write([]byte{0})
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:idBytes])
}

const idBytes = 16

// older orders entries by age, and those of one moment by id, so that every entry
// has one place.
func older(a, b Entry) int {
	if c := a.ReceiveTime.Compare(b.ReceiveTime); c != 0 {
		return c
	}
	switch {
	case a.ID < b.ID:
		return -1
	case a.ID > b.ID:
		return 1
	}
	return 0
}
