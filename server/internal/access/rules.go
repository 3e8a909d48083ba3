package access

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"
)

// rules are what credentials are judged by: the contents of the file, made ready.
// They are not changed once they are in use.
type rules struct {
	consumers    []*consumer
	tokens       map[tokenCredential]tokenRule
	certificates map[certificateName]*consumer
	personalData keyPlace
}

type consumer struct {
	name        string
	grant       Grant
	fingerprint fingerprint
}

type tokenRule struct {
	consumer   *consumer
	expireTime time.Time
}

// keyPlace is where the key of pseudonyms is: nowhere, or in one of the two.
type keyPlace struct{ file, env string }

func (k keyPlace) isSet() bool { return k != keyPlace{} }

// fingerprint is equal for grants that are, so that thousands of sessions are
// compared with new rules at no cost to speak of.
type fingerprint [sha256.Size]byte

// seal makes the consumer ready for use.
func (c *consumer) seal() {
	// Order means nothing; without it one that moved is not a change.
	slices.Sort(c.grant.WABAIDs)
	slices.Sort(c.grant.Types)
	text, _ := json.Marshal(c.grant) // texts, numbers and truths only
	c.fingerprint = sha256.Sum256(text)
}

func (c *consumer) caller(expireTime time.Time) Caller {
	return Caller{Name: c.name, Grant: c.grant, ExpireTime: expireTime}
}
