package translate

import (
	"crypto/sha256"
	"encoding/binary"
)

// An id is a hash over the source, the canonical callback and, for one entry of
// an array, which entry of it this is. The parts that entries share are hashed
// once; an entry adds only its own, so ids of all entries together cost no more
// than the body. What is hashed is either of fixed size or preceded by its
// size, so no two different contents give the hash the same bytes.

// idVersion is hashed first. Changing it, or anything else here or in the
// canonical form, changes every id: subscribers would take old events for new.
const idVersion = "wabastream event id 1\x00"

type digest [sha256.Size]byte

// restDigest is what all entries of a callback have in common.
func restDigest(source string, rest []byte) digest {
	buf := make([]byte, 0, 128)
	buf = append(buf, idVersion...)
	buf = appendSize(buf, len(source))
	buf = append(buf, source...)
	buf = appendSum(buf, rest)
	return sha256.Sum256(buf)
}

// eventID is the id of the occurrence-th event, counted from 0, of equal content
// in one callback.
func eventID(content digest, occurrence int) (id [20]byte) {
	var buf [len(content) + 8]byte
	copy(buf[:], content[:])
	binary.BigEndian.PutUint64(buf[len(content):], uint64(occurrence))
	sum := sha256.Sum256(buf[:])
	copy(id[:], sum[:])
	return id
}

// entryDigest is the content of one entry: the rest of its callback, itself, and
// the contacts that only stay for it. With a contact goes how many of those that
// every entry keeps stand before it, which fixes its place.
func entryDigest(c *canonicalizer, rest digest, entry value, contacts []ownedContact) digest {
	buf := make([]byte, 0, 128)
	buf = append(buf, rest[:]...)
	buf = appendSum(buf, c.value(entry))
	for _, contact := range contacts {
		buf = appendSize(buf, contact.sharedBefore)
		buf = appendSum(buf, c.value(contact.value))
	}
	return sha256.Sum256(buf)
}

func appendSum(dst, content []byte) []byte {
	sum := sha256.Sum256(content)
	return append(dst, sum[:]...)
}

func appendSize(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(n))
}
