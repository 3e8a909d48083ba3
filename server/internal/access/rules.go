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
	jwt          *jwtRules // nil if none are accepted
	subjects     map[string]*consumer
	personalData keyPlace
}

// remoteKeys are nil if no keys are fetched.
func (r *rules) remoteKeys() *remoteKeys {
	if r.jwt == nil {
		return nil
	}
	remote, _ := r.jwt.keys.(*remoteKeys)
	return remote
}

// keysFile is empty if no keys are in a file.
func (r *rules) keysFile() string {
	if r.jwt == nil {
		return ""
	}
	return r.jwt.keysFile
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
